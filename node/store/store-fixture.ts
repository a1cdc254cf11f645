import { DatabaseSync } from 'node:sqlite';
import { decodeFrame } from '../../protocols/chat/protocol.ts';
import type { AckedRange } from '../../protocols/chat/protocol.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import { runGroup, STORE_PRAGMAS } from '../../protocols/group-commit/worker.ts';
import type { Call } from '../../protocols/group-commit/worker.ts';
import { FrameDecoder } from '../../protocols/framing/frames.ts';
import { rowSealer } from '../at-rest/row-sealer.ts';
import { nodeStore } from './operations.ts';
import type { NodeOperations, NodeStore } from './operations.ts';
import { migrate } from './schema.ts';
import { sealedColumns } from './sealed-columns.ts';
import { checkDataKey } from './sealing.ts';

/** What the stores of tests are sealed with. */
export const TEST_DATA_KEY: Uint8Array = new Uint8Array(32).fill(7);

export const TEST_SEALED = sealedColumns(rowSealer(TEST_DATA_KEY));

/** A daemon's store without its thread, for tests. */
export interface TestStore {
  readonly database: DatabaseSync;
  /** The operations as the store is now; another object after `restart`. */
  readonly operations: NodeOperations;
  /** Runs calls as one transaction and hands back their values or errors. */
  group(calls: [operation: keyof NodeOperations, argument: unknown][]): unknown[];
  /** What the rest of the daemon holds: calls of one turn become one transaction. */
  readonly client: NodeStore;
  /** Forgets all that is in memory, as the end of the process does. */
  restart(): void;
  /** All that is in the store, as a backup has it. */
  backup(): Uint8Array;
  /** Goes back to a backup, as a process that starts on it does. */
  restore(backup: Uint8Array): void;
  close(): void;
}

/** Has everybody who writes be a contact already. */
function amongFriends(store: ReturnType<typeof nodeStore>): ReturnType<typeof nodeStore> {
  const { operations } = store;
  return {
    ...store,
    operations: {
      ...operations,
      'messages.receive'(given) {
        operations['contacts.add']({ peer: given.peer, petname: null, nowMs: given.nowMs });
        return operations['messages.receive'](given);
      },
      'sessions.take'(given) {
        operations['contacts.add']({ peer: given.peer, petname: null, nowMs: given.nowMs });
        return operations['sessions.take'](given);
      },
    },
  };
}

/**
 * @param file default: in memory
 * @param options.strangers whether who writes is a stranger at first; else they are contacts
 */
export function testStore(file = ':memory:', { strangers = false } = {}): TestStore {
  const open = (): DatabaseSync => {
    const database = new DatabaseSync(file);
    database.exec(STORE_PRAGMAS);
    // A test needs no power cut survived.
    database.exec('PRAGMA synchronous = OFF');
    migrate(database, TEST_SEALED);
    checkDataKey(database, TEST_SEALED);
    return database;
  };
  let database = open();
  const begin = (): ReturnType<typeof nodeStore> =>
    strangers ? nodeStore(database, TEST_SEALED) : amongFriends(nodeStore(database, TEST_SEALED));
  let store = begin();
  let queued: { call: Call; settle: PromiseWithResolvers<unknown> }[] = [];

  const flush = (): void => {
    const batch = queued;
    queued = [];
    const replies = runGroup(
      store,
      batch.map(({ call }) => call),
    );
    for (const [index, { value, error }] of replies.entries()) {
      const { settle } = batch[index]!;
      if (error === undefined) settle.resolve(structuredClone(value));
      else settle.reject(new StoreError(error.message, error.code));
    }
  };

  return {
    get database() {
      return database;
    },
    get operations() {
      return store.operations;
    },
    group: (calls) =>
      runGroup(
        store,
        calls.map(([operation, argument], id) => ({ id, operation, argument, durability: 'disk' as const })),
      ).map(({ value, error }) => error ?? value),
    client: {
      get waiting() {
        return queued.length;
      },
      call(operation, argument, options) {
        if (queued.length === 0) setImmediate(flush);
        const settle = Promise.withResolvers<unknown>();
        const call = {
          id: queued.length,
          operation,
          argument: structuredClone(argument),
          durability: options?.durability ?? 'disk',
        };
        queued.push({ call, settle });
        return settle.promise as Promise<never>;
      },
    },
    restart() {
      if (file !== ':memory:') {
        database.close();
        database = open();
      }
      store = begin();
    },
    backup: () => database.serialize(),
    restore(backup) {
      database.deserialize(backup);
      store = begin();
    },
    close: () => database.close(),
  };
}

const NO_HASH = new Uint8Array(0);

/** What an Ack says that proves nothing. */
export function unproved(ranges: readonly Range[]): { ranges: AckedRange[]; opening: boolean } {
  return { ranges: ranges.map((range) => ({ ...range, hash: NO_HASH })), opening: false };
}

/** The encoded frames in bytes as they go onto a stream. */
export function framesIn(encoded: Uint8Array): Uint8Array[] {
  return new FrameDecoder(1 << 20).push(encoded);
}

/** The encoded Messages in bytes as they go onto a stream. */
export function messagesIn(encoded: Uint8Array): Uint8Array[] {
  return framesIn(encoded).map((frame) => decodeFrame(frame).body.value as Uint8Array);
}
