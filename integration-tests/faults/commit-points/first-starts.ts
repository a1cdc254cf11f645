import { join } from 'node:path';
import { program } from '../../harness/program.ts';
import type { Program } from '../../harness/program.ts';

export interface FirstStartsInit {
  /** For the data directories. */
  folder: string;
  violated: (what: string) => void;
  log: (line: string) => void;
}

/**
 * Kills programs at each point at which their very first start writes something, and starts them again: a half-made data
 * directory has to become a whole one.
 *
 * @returns where somebody was killed
 */
export async function firstStarts({ folder, violated, log }: FirstStartsInit): Promise<string[]> {
  const killed: string[] = [];
  for (const kind of ['daemon', 'bootstrap'] as const) {
    const first = newcomer(kind, join(folder, `first-${kind}`));
    await first.start();
    const passed = await first.tell({ type: 'points' });
    await first.kill();
    const points = Object.keys(passed).filter((point) => passed[point]!.changing > 0);
    for (const [index, point] of points.entries()) {
      const name = `${kind}, first start, ${point}`;
      const next = newcomer(kind, join(folder, `first-${kind}-${index}`));
      await next.tell({ type: 'arm', point, occurrence: 1, action: 'kill' });
      const survived = await next.start().then(
        () => true,
        () => false,
      );
      // What is written right after the program has said that it is ready comes too late for this.
      if (!survived) {
        killed.push(name);
        await next.start().catch((error: unknown) => violated(`${name}: ${(error as Error).message}`));
      }
      if (next.running) await next.kill();
      log(`${name}: ${survived ? 'not passed' : 'killed'}`);
    }
  }
  return killed;
}

function newcomer(kind: 'daemon' | 'bootstrap', dataDir: string): Program {
  return program({
    label: `new ${kind}`,
    hook: true,
    args: () => [
      kind,
      `--data-dir=${dataDir}`,
      '--listen=/ip4/127.0.0.1/tcp/0',
      '--http=127.0.0.1:0',
      '--log-level=error',
    ],
  });
}
