import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { StoreError } from './operations.ts';
import type { Operations, StoreErrorCode } from './operations.ts';
import { CLOSE, openStoreFile, runGroup } from './worker.ts';
import type { Call, Durability, OpenStore, Reply, StoreData } from './worker.ts';

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

/** Where a store's transactions run. */
interface Runner {
  /** Runs calls as one group; their replies are settled then or later. */
  run(calls: Call[]): void;
  /** Closes the database. */
  close(): Promise<void>;
}

/**
 * A store as a program holds it: calls asked for in one turn of the event loop become one transaction.
 *
 * Its transactions run in a thread of their own (`open`), where a slow disk holds up nobody who does not wait for it, or
 * in this one (`openHere`), where a commit is nearer and a thread's memory is saved: docs/adr/0003.
 *
 * @example
 * ```ts
 * const store = await StoreClient.open<MailboxOperations>(import.meta, './store-worker', { file })
 * await store.call('deposit', { … }) // resolves after the fsync
 * ```
 */
export class StoreClient<Ops extends Operations> implements AsyncDisposable {
  readonly #runner: Runner;
  readonly #pending = new Map<number, Pending>();
  readonly #brokenDown = Promise.withResolvers<StoreError>();
  #onFailure: ((error: StoreError) => void) | undefined;
  #calls: Call[] = [];
  #scheduled = false;
  #nextId = 1;
  #closed: Promise<void> | undefined;

  private constructor(
    makeRunner: (settle: (replies: readonly Reply[]) => void, fail: (error: StoreError) => void) => Runner,
  ) {
    this.#runner = makeRunner(
      (replies) => this.#settle(replies),
      (error) => this.#fail(error),
    );
  }

  /**
   * Starts a worker thread and waits until its database is open.
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
    const opened = Promise.withResolvers<void>();
    const client = new StoreClient<Ops>((settle, fail) => {
      const over = (error: StoreError): void => {
        opened.reject(error);
        fail(error);
      };
      thread.on('error', (cause: Error) =>
        over(new StoreError(`the store broke down: ${cause.message}`, 'internal', { cause })),
      );
      thread.on('exit', () => over(new StoreError('the store is closed', 'closed')));
      thread.on('message', (message: WorkerMessage) => {
        if ('replies' in message) settle(message.replies);
        else if ('failed' in message) {
          opened.reject(new StoreError(message.failed.message, message.failed.code));
        } else opened.resolve();
      });
      return {
        run: (calls) => thread.postMessage(calls),
        close: () =>
          new Promise<void>((resolve) => {
            thread.once('exit', () => resolve());
            thread.postMessage(CLOSE);
          }),
      };
    });
    await opened.promise;
    return client;
  }

  /**
   * Opens a store whose transactions run in this thread.
   *
   * @throws StoreError as `open` does
   */
  static openHere<Ops extends Operations, Data extends StoreData>(
    open: (data: Data) => OpenStore & { operations: Ops },
    data: Data,
  ): StoreClient<Ops> {
    const store = openStoreFile(open, data);
    return new StoreClient<Ops>((settle) => ({
      run: (calls) => settle(runGroup(store, calls)),
      close: async () => store.database.close(),
    }));
  }

  /** Calls that have been asked for and not answered: what a caller bounds to keep memory bounded. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Whom to tell of each call that failed, besides its caller: a disk that fails concerns everybody. */
  set onFailure(tell: (error: StoreError) => void) {
    this.#onFailure = tell;
  }

  /** Resolves if the store ends without having been closed: the program can't go on then. */
  get brokenDown(): Promise<StoreError> {
    return this.#brokenDown.promise;
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

  /** Finishes what was asked for, closes the database, ends the thread if there is one. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#flush();
      this.#closed = this.#runner.close();
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#calls.length === 0 || this.#closed !== undefined) return;
    const calls = this.#calls;
    this.#calls = [];
    this.#runner.run(calls);
  }

  #settle(replies: readonly Reply[]): void {
    for (const { id, value, error } of replies) {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) pending?.resolve(value);
      else {
        const failure = new StoreError(error.message, error.code);
        this.#onFailure?.(failure);
        pending?.reject(failure);
      }
    }
  }

  #fail(error: StoreError): void {
    if (this.#closed === undefined) {
      this.#closed = Promise.resolve();
      this.#brokenDown.resolve(error);
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}
