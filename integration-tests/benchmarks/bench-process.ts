import { fork } from 'node:child_process';
import { join } from 'node:path';

/** A command to a benchmark's child process and its answer, matched by `id`. */
export interface BenchCall {
  id: number;
  command: string;
  argument: unknown;
}

export interface BenchAnswer {
  id: number;
  value?: unknown;
  error?: string;
}

/** One of this folder's programs, running as a process of its own. */
export interface BenchProcess extends AsyncDisposable {
  readonly pid: number;
  /** Runs a command there. */
  call<Result>(command: string, argument?: unknown): Promise<Result>;
}

/** Starts `file` of this folder. It answers with `serveBench`. */
export function benchProcess(file: string, args: readonly string[] = []): BenchProcess {
  const child = fork(join(import.meta.dirname, file), args, { serialization: 'advanced' });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let nextId = 1;
  child.on('message', ({ id, value, error }: BenchAnswer) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(error));
  });
  const exited = new Promise<void>((resolve) => {
    child.on('exit', (code) => {
      for (const call of waiting.values()) call.reject(new Error(`${file} ended with code ${code}`));
      resolve();
    });
  });
  return {
    pid: child.pid!,
    call<Result>(command: string, argument?: unknown) {
      const id = nextId++;
      const call = Promise.withResolvers<unknown>();
      waiting.set(id, call);
      child.send({ id, command, argument } satisfies BenchCall);
      return call.promise as Promise<Result>;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** The child's side: answers commands until it is killed, or its parent is gone. */
export function serveBench(commands: Record<string, (argument: never) => unknown>): void {
  process.on('message', ({ id, command, argument }: BenchCall) => {
    Promise.resolve()
      .then(() => commands[command]!(argument as never))
      .then(
        (value) => process.send!({ id, value } satisfies BenchAnswer),
        (error: Error) => process.send!({ id, error: error.stack ?? error.message } satisfies BenchAnswer),
      );
  });
  process.on('disconnect', () => process.exit(0));
}
