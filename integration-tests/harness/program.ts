import { spawn } from 'node:child_process';
import type { ChildProcess, ChildProcessByStdio } from 'node:child_process';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { hooked } from '../faults/hook/hooked.ts';
import type { Hooked } from '../faults/hook/hooked.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

/** The `tincan` command as a checkout has it. */
export const TINCAN: readonly string[] = [process.execPath, join(ROOT, 'cli/tincan.cjs')];

/** What a program may take to be ready when the machine is busy with other tests. */
const READY_MS = 30_000;

/** A program has 3 s to stop; the rest is for a machine that is busy. */
const STOP_MS = 10_000;

/** Output kept of a program, for when a test fails. */
const LOG_CHARS = 200_000;

/** As pino writes a line at `error` or `fatal`. */
const ERROR_LINE = /^\{"level":[56]0\b/;

/** What `tincan daemon --json` and `tincan bootstrap --json` print when they are ready. */
export interface Ready {
  ready: true;
  peerId: string;
  multiaddrs: string[];
  http: string;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ProgramInit {
  /** What to call it in logs. */
  label: string;
  /** Given what it said when it was ready the last time, so that it can come back at the same address. */
  args: (before: Ready | undefined) => readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Default: the checkout's `tincan`. */
  command?: readonly string[];
  /** Put before the command, to run it somewhere else: `ip netns exec NAME`. */
  prefix?: readonly string[];
  /** Lets it be told to fail from inside. */
  hook?: boolean;
}

/** A program that can be stopped, killed and started again. */
export interface Program {
  readonly label: string;
  /** All it ever said on standard output and error. */
  readonly log: string;
  /** Lines of its log at the level `error`, from all its runs. */
  readonly errors: readonly string[];
  readonly pid: number;
  /** What it said when it was ready the last time. */
  readonly ready: Ready;
  readonly running: boolean;
  /** Resolves when the program says that it is ready. */
  start(): Promise<Ready>;
  /** Ends it as a user does. One that takes too long is killed, and its exit says so. */
  stop(signal?: 'SIGTERM' | 'SIGINT'): Promise<Exit>;
  /** SIGKILL. */
  kill(): Promise<Exit>;
  /** SIGSTOP: it holds its connections and its files, and does nothing. */
  pause(): void;
  /** SIGCONT, after `pause`. */
  resume(): void;
  /** Gives it an order, if it was made with `hook`. Before its start: what can be done when it starts. */
  tell: Hooked['tell'];
}

export function environment(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    // Nothing of the developer's own settings leaks in.
    PATH: process.env['PATH'],
    HOME: '/nonexistent',
    TZ: 'UTC',
    // Unless a test is about passphrases: nobody is there to be asked, and stretching one takes a while.
    TINCAN_USE_PASSPHRASE: 'false',
    ...env,
  };
}

export function program(init: ProgramInit): Program {
  const { label, args, env, command = TINCAN, prefix = [] } = init;
  const hook = init.hook === true ? hooked(label) : undefined;
  let log = '';
  const errors: string[] = [];
  let ready: Ready | undefined;
  let running: { child: ChildProcess; exited: Promise<Exit> } | undefined;
  const keep = (chunk: string): void => {
    log = (log + chunk).slice(-LOG_CHARS);
  };

  const mustRun = (): { child: ChildProcess; exited: Promise<Exit> } => {
    if (running === undefined) throw new Error(`${label} does not run`);
    return running;
  };

  const end = async (signal: NodeJS.Signals): Promise<Exit> => {
    const { child, exited } = mustRun();
    child.kill(signal);
    return exited;
  };

  return {
    label,
    get log() {
      return log;
    },
    errors,
    get pid() {
      return mustRun().child.pid!;
    },
    get ready() {
      if (ready === undefined) throw new Error(`${label} was never ready`);
      return ready;
    },
    get running() {
      return running !== undefined;
    },

    async start() {
      if (running !== undefined) throw new Error(`${label} runs already`);
      const [file, ...before] = [...prefix, ...command] as [string, ...string[]];
      const child = spawn(file, [...before, ...args(ready), '--json'], {
        stdio: ['ignore', 'pipe', 'pipe', ...(hook === undefined ? [] : (['ipc'] as const))],
        env: environment(hook === undefined ? env : hook.environment(env ?? {})),
      }) as ChildProcessByStdio<null, Readable, Readable>;
      hook?.attach(child);
      keep(`--- started, process ${child.pid}\n`);
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          // The stack's own small talk would push out what the program says.
          if (!line.includes('"component":"libp2p:')) keep(`${line}\n`);
          if (ERROR_LINE.test(line)) errors.push(line);
        });
      }
      const exited = new Promise<Exit>((done) => {
        child.on('close', (code, signal) => {
          keep(`--- ended, ${signal ?? `code ${code}`}\n`);
          running = undefined;
          done({ code, signal });
        });
      });
      running = { child, exited };

      const found = Promise.withResolvers<Ready>();
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('{"ready":true')) found.resolve(JSON.parse(line) as Ready);
      });
      void exited.then(({ code, signal }) =>
        found.reject(
          new Error(`${label} ended with ${signal ?? `code ${code}`} before it was ready:\n${log}`),
        ),
      );
      const late = setTimeout(() => child.kill('SIGKILL'), READY_MS);
      try {
        ready = await found.promise;
        return ready;
      } finally {
        clearTimeout(late);
      }
    },

    async stop(signal = 'SIGTERM') {
      const late = setTimeout(() => mustRun().child.kill('SIGKILL'), STOP_MS);
      try {
        return await end(signal);
      } finally {
        clearTimeout(late);
      }
    },

    kill: () => end('SIGKILL'),

    pause() {
      mustRun().child.kill('SIGSTOP');
    },

    resume() {
      mustRun().child.kill('SIGCONT');
    },

    async tell(order) {
      if (hook === undefined) throw new Error(`${label} has no hook to be told through`);
      return hook.tell(order);
    },
  };
}
