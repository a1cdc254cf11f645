import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** The real command as a child process, for its tests. */
export interface CliProcess {
  child: ChildProcessWithoutNullStreams;
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves with the exit code. */
  exited: Promise<number | null>;
  /** Resolves when standard output has something that matches. Throws when the process ends first. */
  printed(pattern: RegExp): Promise<void>;
}

/** Starts the command; what still runs when the test ends is killed. */
export function spawnCli(
  t: Pick<TestContext, 'after'>,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): CliProcess {
  const cli = start(args, env);
  t.after(() => cli.child.kill('SIGKILL'));
  return cli;
}

function start(args: readonly string[], env: NodeJS.ProcessEnv): CliProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  // A command that ends before it has read its input is no failure of the test.
  child.stdin.on('error', () => {});
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve));
  return {
    child,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    exited,
    async printed(pattern) {
      let over = false;
      void exited.then(() => {
        over = true;
        child.stdout.emit('data', '');
      });
      while (!pattern.test(stdout)) {
        if (over) throw new Error(`ended without printing ${pattern}\n${stdout}\n${stderr}`);
        await new Promise((resolve) => child.stdout.once('data', resolve));
      }
    },
  };
}

/** Runs the command to its end, with this standard input. */
export async function runCli(
  args: readonly string[],
  { input = '', env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const cli = start(args, env);
  cli.child.stdin.end(input);
  const code = await cli.exited;
  return { code, stdout: cli.stdout, stderr: cli.stderr };
}
