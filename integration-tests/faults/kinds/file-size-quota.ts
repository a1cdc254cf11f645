import { setTimeout as delay } from 'node:timers/promises';
import { runCommand } from '../../harness/command.ts';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf, programOf } from '../episodes/victims.ts';

interface FileSizeQuota {
  victim: Victim;
  /** No file of it can be written beyond this. */
  bytes: number;
  quotaMs: number;
}

/**
 * A quota on the size of files, so that real writes fail in the middle, with EFBIG. Plays nothing on systems other than
 * Linux, and where there is no `prlimit`.
 */
export const kind: FaultKind<FileSizeQuota> = {
  name: 'file-size-quota',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    bytes: oneOf(random, [0, 4_096, 50_000, 300_000]),
    quotaMs: between(random, 200, 3_000),
  }),

  async play({ victim, bytes, quotaMs }, stage) {
    const program = programOf(stage, victim);
    if (!program.running) return;
    const { pid } = program;
    // The soft limit only: a hard one can't be lifted again.
    const limit = async (soft: string): Promise<boolean> => {
      const command = ['prlimit', `--pid=${pid}`, `--fsize=${soft}:`];
      const done = await runCommand(command, { signal: stage.signal }).catch(() => undefined);
      return done?.code === 0;
    };
    if (!(await limit(String(bytes)))) return;
    await delay(quotaMs, undefined, { signal: stage.signal });
    if (!(await limit('unlimited')) && program.running && program.pid === pid)
      throw new Error(`the quota of ${program.label} could not be lifted`);
  },

  causes: [/^(?!.*a part of the daemon).*StoreError.*disk I\/O error/, /EFBIG/],
};
