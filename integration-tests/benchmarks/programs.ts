import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findDaemon } from '../../cli/daemon-address.ts';
import type { ControlClient } from '../../protocols/control/client.ts';
import { program, ROOT } from '../harness/program.ts';
import type { Program } from '../harness/program.ts';

/** The built command, as an installed package runs it: `npm run bench` builds it first. */
const BUILT = [process.execPath, join(ROOT, 'dist/cli/main.js')];

const LISTEN = '--listen=/ip4/127.0.0.1/tcp/0';
const COMMON = ['--http=127.0.0.1:0', '--log-level=error'];

/** The programs as a user runs them, in a folder of their own that goes with them. */
export interface Programs extends AsyncDisposable {
  bootstrap(args?: readonly string[]): Promise<Program>;
  /** @param dataDir default: a new one */
  daemon(
    label: string,
    bootstrap: Program | undefined,
    args?: readonly string[],
    dataDir?: string,
  ): Promise<RunningDaemon>;
}

export interface RunningDaemon {
  program: Program;
  client: ControlClient;
}

/** A bootstrap node's address, as daemons are given it. */
export function addressOf({ ready }: Program): string {
  return ready.multiaddrs[0]!;
}

export async function openPrograms(): Promise<Programs> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-bench-'));
  const started: Program[] = [];
  let count = 0;
  const start = async (
    kind: 'bootstrap' | 'daemon',
    label: string,
    dataDir: string,
    args: readonly string[],
  ) => {
    const it = program({
      label,
      command: BUILT,
      args: () => [kind, `--data-dir=${dataDir}`, LISTEN, ...COMMON, ...args],
    });
    started.push(it);
    await it.start();
    return it;
  };
  return {
    bootstrap: (args = []) =>
      start('bootstrap', 'bootstrap node', join(folder, `bootstrap-${count++}`), args),
    async daemon(label, bootstrap, args = [], dataDir = join(folder, `${label}-${count++}`)) {
      const link = bootstrap === undefined ? [] : [`--bootstrap=${addressOf(bootstrap)}`];
      const it = await start('daemon', label, dataDir, [...link, ...args]);
      return { program: it, client: findDaemon(dataDir) };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(started.filter(({ running }) => running).map((it) => it.kill()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
