import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { DatabaseSync } from 'node:sqlite';
import { passCommitPoint } from './commit-points.ts';
import { explainStoreError, StoreError, storeErrorCode } from './operations.ts';
import type { Operations, StoreErrorCode } from './operations.ts';

/** What a call's changes have to survive: a power cut, or only the end of the process. */
export type Durability = 'disk' | 'process';

export interface Call {
  id: number;
  operation: string;
  argument: unknown;
  durability: Durability;
}

export interface Reply {
  id: number;
  value?: unknown;
  error?: { message: string; code: StoreErrorCode };
}

export interface OpenStore {
  database: DatabaseSync;
  operations: Operations;
  /** Forgets what was kept in memory about rows that have just been rolled back. */
  rolledBack: () => void;
}

/** The message that asks the worker to close its database and end. */
export const CLOSE = 'close';

/**
 * Settings every store opens with. `locking_mode=EXCLUSIVE` is also the lock on the data directory: the kernel releases
 * it with the process, however that ends. `synchronous=FULL` syncs the WAL at every commit.
 */
export const STORE_PRAGMAS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA temp_store = MEMORY;
  PRAGMA wal_autocheckpoint = 4000;
`;

/**
 * Runs a group of calls as one transaction: each call keeps or loses its own changes, the commit keeps or loses all.
 * The commit is synced to disk unless no call of the group asks for that.
 */
export function runGroup(store: OpenStore, calls: readonly Call[]): Reply[] {
  if (calls.some(({ durability }) => durability === 'disk')) return runTransaction(store, calls);
  // In WAL mode, NORMAL syncs only at checkpoints: a power cut may take the last commits back, whole.
  store.database.exec('PRAGMA synchronous = NORMAL');
  try {
    return runTransaction(store, calls);
  } finally {
    store.database.exec('PRAGMA synchronous = FULL');
  }
}

function runTransaction(store: OpenStore, calls: readonly Call[]): Reply[] {
  const { database, operations, rolledBack } = store;
  const replies: Reply[] = [];
  const failure = (id: number, error: unknown): Reply => ({
    id,
    error: explainStoreError(database.location(), error),
  });
  try {
    database.exec('BEGIN');
    for (const { id, operation, argument } of calls) {
      database.exec('SAVEPOINT call');
      try {
        const value = operations[operation]!(argument as never);
        database.exec('RELEASE call');
        replies.push({ id, value });
      } catch (error) {
        // A full disk or a failing one ends the whole transaction by itself; then there is no savepoint to go back to.
        if (!database.isTransaction) throw error;
        database.exec('ROLLBACK TO call; RELEASE call');
        rolledBack();
        replies.push(failure(id, error));
      }
    }
    passCommitPoint('before-commit', operationsOf(calls));
    database.exec('COMMIT');
    passCommitPoint('after-commit', operationsOf(calls));
    return replies;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    rolledBack();
    if (storeErrorCode(error) !== 'corrupt') return calls.map(({ id }) => failure(id, error));
    // SQLite commits nothing any more when a page was found damaged in between: who has met that, meets it alone.
    if (calls.length > 1) return calls.flatMap((call) => runTransaction(store, [call]));
    return calls.map((call) => readOnly(store, call) ?? failure(call.id, error));
  }
}

/** Runs a call that changes nothing, which may find a way around what is damaged; undefined when there is none. */
function readOnly({ database, operations, rolledBack }: OpenStore, call: Call): Reply | undefined {
  database.exec('PRAGMA query_only = ON');
  try {
    return { id: call.id, value: operations[call.operation]!(call.argument as never) };
  } catch {
    return undefined;
  } finally {
    database.exec('PRAGMA query_only = OFF');
    rolledBack();
  }
}

function* operationsOf(calls: readonly Call[]): Generator<string> {
  for (const { operation } of calls) yield operation;
}

/** What every store is opened with. */
export interface StoreData {
  /** The database file. */
  file: string;
}

/**
 * Opens a store, saying what stands in the way so that its user understands.
 *
 * @throws StoreError
 */
export function openStoreFile<Data extends StoreData, Store extends OpenStore>(
  open: (data: Data) => Store,
  data: Data,
): Store {
  try {
    return open(data);
  } catch (error) {
    const { message, code } = explainStoreError(data.file, error);
    throw new StoreError(message, code, { cause: error });
  }
}

/**
 * The body of a store's worker thread. `open` gets the `data` that the client was constructed with.
 * Everything that waits in the port when a group begins joins it.
 */
export function serveStore<Data extends StoreData>(open: (data: Data) => OpenStore): void {
  const port = parentPort!;
  let store: OpenStore;
  try {
    store = openStoreFile(open, workerData as Data);
  } catch (error) {
    const { message, code } = error as StoreError;
    port.postMessage({ failed: { message, code } });
    port.close();
    return;
  }
  port.postMessage({ opened: true });
  port.on('message', (first: Call[] | typeof CLOSE) => {
    let message: Call[] | typeof CLOSE | undefined = first;
    const calls: Call[] = [];
    while (message !== undefined && message !== CLOSE) {
      calls.push(...message);
      message = receiveMessageOnPort(port)?.message;
    }
    if (calls.length > 0) port.postMessage({ replies: runGroup(store, calls) });
    if (message === CLOSE) {
      store.database.close();
      port.close();
    }
  });
}
