import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { StoreError } from './operations.ts';
import type { Operations, StoreErrorCode } from './operations.ts';
import { CLOSE } from './worker.ts';
import type { Call, Durability, Reply, StoreData } from './worker.ts';

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

export interface CallOptions {
  /**
   * What the changes survive: `disk`, the default, anything; `process` the end of this process however it comes, but not
   * a power cut, which takes them back without damage. Costs no fsync when nothing else in the group needs one.
   */
  durability?: Durability;
}

type WorkerMessage =
  | { opened: true }
  | { failed: { message: string; code: StoreErrorCode } }
  | { replies: Reply[] };

/**
 * The side of a store that lives in the program's main thread.
 *
 * @example
 * ```ts
 * const store = await StoreClient.open<MailboxOperations>(import.meta, './store-worker', { file })
 * await store.call('deposit', { … }) // resolves after the fsync
 * ```
 */
export class StoreClient<Ops extends Operations> implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #calls: Call[] = [];
  #scheduled = false;
  #nextId = 1;
  #closed: Promise<void> | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /**
   * Starts the worker and waits until its database is open.
   *
   * @param from the `import.meta` of the calling module
   * @param worker the worker's module relative to it, without extension: sources and the built package differ in that
   * @param data handed to the worker's `open`
   * @throws StoreError, `held` when another process has the file; the message names it
   */
  static async open<Ops extends Operations>(
    from: ImportMeta,
    worker: string,
    data: StoreData,
  ): Promise<StoreClient<Ops>> {
    const thread = new Worker(new URL(worker + extname(from.filename), from.url), { workerData: data });
    const client = new StoreClient<Ops>(thread);
    await new Promise<void>((resolve, reject) => {
      const over = (error: StoreError): void => {
        reject(error);
        client.#fail(error);
      };
      thread.on('error', (cause: Error) =>
        over(new StoreError(`the store broke down: ${cause.message}`, 'internal', { cause })),
      );
      thread.on('exit', () => over(new StoreError('the store is closed', 'closed')));
      thread.on('message', (message: WorkerMessage) => {
        if ('replies' in message) client.#settle(message.replies);
        else if ('failed' in message) reject(new StoreError(message.failed.message, message.failed.code));
        else resolve();
      });
    });
    return client;
  }

  /** Calls that have been asked for and not answered: what a caller bounds to keep memory bounded. */
  get waiting(): number {
    return this.#pending.size;
  }

  /**
   * Runs an operation. Resolves once its changes are on disk, or as safe as `options.durability` asks for.
   *
   * @throws StoreError when it failed; nothing of it was kept
   */
  call<Name extends keyof Ops & string>(
    operation: Name,
    argument: Parameters<Ops[Name]>[0],
    { durability = 'disk' }: CallOptions = {},
  ): Promise<ReturnType<Ops[Name]>> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed', 'closed'));
    const id = this.#nextId++;
    this.#calls.push({ id, operation, argument, durability });
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#flush());
    }
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  /** Finishes what was asked for, closes the database, ends the worker. */
  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve) => {
      this.#worker.once('exit', () => resolve());
      this.#flush();
      this.#worker.postMessage(CLOSE);
    });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#calls.length === 0) return;
    const calls = this.#calls;
    this.#calls = [];
    this.#worker.postMessage(calls);
  }

  #settle(replies: readonly Reply[]): void {
    for (const { id, value, error } of replies) {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) pending?.resolve(value);
      else pending?.reject(new StoreError(error.message, error.code));
    }
  }

  #fail(error: Error): void {
    this.#closed ??= Promise.resolve();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}
