import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

/** The programs promise to stop in 3 s; who takes longer is killed. */
const STOP_MS = 3500;

/** A cold start takes under 2 s; a machine under load is given this much. */
const START_MS = 20_000;

/** Of what a child said on standard error, the end is kept for an error message. */
const KEPT_STDERR_CHARS = 4000;

/** The line a program prints with `--json` when it is ready. The echo bot's has `ready` alone. */
export interface ReadyLine {
  ready: true;
  peerId: string;
  multiaddrs: string[];
  http: string;
}

export interface DemoProcess {
  ready: ReadyLine;
  /** Stops it as a user would, and waits. Resolves with the exit code; null when it had to be killed. */
  stop(): Promise<number | null>;
  /** Kills it without warning, and waits. */
  kill(): Promise<void>;
}

export interface DemoProcesses extends AsyncDisposable {
  /** Starts `tincan ARGS --json` and waits until it says it is ready. */
  start(label: string, args: readonly string[]): Promise<DemoProcess>;
}

export interface DemoProcessesInit {
  /** Data directories and the list of processes live here. */
  folder: string;
  signal: AbortSignal;
  /** A program ended that nobody stopped. */
  onLost: (label: string, reason: string) => void;
}

/**
 * Programs of this package as child processes that never outlive this one: disposing stops them, and
 * each also ends by itself when its IPC channel to this process closes.
 */
export async function demoProcesses({ folder, signal, onLost }: DemoProcessesInit): Promise<DemoProcesses> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await waitForEarlierRun(folder, signal);
  const running: { child: ChildProcess; process: Pick<DemoProcess, 'stop'> }[] = [];

  return {
    async start(label, args) {
      signal.throwIfAborted();
      const child = spawn(process.execPath, [mainFile(), ...args, '--json'], {
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        // Its own process group: Ctrl-C is this process's to handle, which then stops the others in order.
        detached: true,
        env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TINCAN_'))),
      });
      const exited = new Promise<number | null>((resolve) => {
        child.once('exit', (code) => resolve(code));
        child.once('error', () => resolve(null));
      });
      let told = '';
      child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
        told = (told + chunk).slice(-KEPT_STDERR_CHARS);
      });
      let expected = false;
      const program = {
        async stop(): Promise<number | null> {
          expected = true;
          child.kill('SIGTERM');
          const killing = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
          const code = await exited;
          clearTimeout(killing);
          return code;
        },
        async kill(): Promise<void> {
          expected = true;
          child.kill('SIGKILL');
          await exited;
        },
      };
      running.push({ child, process: program });
      await writeFile(
        join(folder, 'processes.json'),
        JSON.stringify(running.map(({ child }) => child.pid ?? 0)),
      );

      const ready = await firstReadyLine(child, exited, signal).catch((error: unknown) => {
        if (signal.aborted) throw error;
        const why = told.trim() === '' ? (error as Error).message : told.trim();
        throw new Error(`${label} did not start: ${why}`, { cause: error });
      });
      void exited.then((code) => {
        if (!expected) onLost(label, `ended with code ${code}${told === '' ? '' : `: ${told.trim()}`}`);
      });
      return { ready, ...program };
    },

    async [Symbol.asyncDispose]() {
      // All at once: each can do without the others, and together they take no longer than one.
      await Promise.all(running.map(({ process }) => process.stop()));
    },
  };
}

/** This package's entry, from the sources or built. */
function mainFile(): string {
  return join(import.meta.dirname, `main${extname(import.meta.filename)}`);
}

async function firstReadyLine(
  child: ChildProcess,
  exited: Promise<number | null>,
  signal: AbortSignal,
): Promise<ReadyLine> {
  const timeout = AbortSignal.timeout(START_MS);
  const found = Promise.withResolvers<ReadyLine>();
  const lines = createInterface({ input: child.stdout! });
  lines.on('line', (line) => {
    if (line.startsWith('{"ready":true')) found.resolve(JSON.parse(line) as ReadyLine);
  });
  void exited.then((code) => found.reject(new Error(`it ended with code ${code}`)));
  timeout.addEventListener('abort', () =>
    found.reject(new Error(`it was not ready within ${START_MS / 1000} s`)),
  );
  const onAbort = (): void => found.reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await found.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** A run that was killed leaves children that are just stopping; they still hold their data directories. */
async function waitForEarlierRun(folder: string, signal: AbortSignal): Promise<void> {
  const text = await readFile(join(folder, 'processes.json'), 'utf8').catch(() => '[]');
  let pids: number[];
  try {
    pids = JSON.parse(text) as number[];
  } catch {
    return;
  }
  const deadline = Date.now() + STOP_MS;
  while (Date.now() < deadline && pids.some((pid) => isAlive(pid))) {
    await delay(50, undefined, { signal });
  }
}

export function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
