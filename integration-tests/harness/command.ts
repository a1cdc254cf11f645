import { spawn } from 'node:child_process';
import { environment, TINCAN } from './program.ts';

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  signal: AbortSignal;
  /** Standard input, empty unless given. */
  input?: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

/** Runs a program to its end. It is killed when the signal fires. */
export async function runCommand(
  [file, ...args]: readonly string[],
  { signal, input = '', env, cwd }: CommandOptions,
): Promise<CommandResult> {
  signal.throwIfAborted();
  const child = spawn(file!, args, { env: environment(env), cwd });
  const kill = (): boolean => child.kill('SIGKILL');
  signal.addEventListener('abort', kill);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  // A command that ends before it has read its input is no failure of the test.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    return { code, stdout, stderr };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** Runs `tincan` with these arguments to its end. */
export function tincan(args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return runCommand([...TINCAN, ...args], options);
}
