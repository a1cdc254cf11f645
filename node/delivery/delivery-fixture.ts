import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from '@libp2p/interface';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { decodeMessage } from '../../protocols/chat/message.ts';
import { decodeFrame } from '../../protocols/chat/protocol.ts';
import type { Frame } from '../../protocols/chat/chat_pb.ts';
import { framesIn, TEST_SEALED } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import type { DeliveryInit } from './delivery.ts';
import type { Sleep } from './ways.ts';

/** Turns of the event loop until a condition holds; far more than anything here takes. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  for (let turns = 0; turns < 500; turns++) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`${what} did not come about`);
}

/** Enough turns for all that is going to happen without time passing. */
export async function quiet(): Promise<void> {
  for (let turns = 0; turns < 30; turns++) await turn();
}

/** A clock that stands still until it is moved, and those who wait for it. */
export interface FakeClock {
  nowMs: number;
  sleep: Sleep;
  /** How long each of those who wait asked for. */
  waiting(): number[];
  /** Lets time pass: wakes those whose time comes, in order. */
  pass(ms: number): Promise<void>;
}

export function fakeClock(nowMs = 1_800_000_000_000): FakeClock {
  const sleepers = new Set<{ ms: number; atMs: number; wake: () => void }>();
  /** Apart from `nowMs`, which a test may set back: waiting does not follow the wall clock. */
  let elapsedMs = 0;
  const self: FakeClock = {
    nowMs,
    sleep: (ms, { signal }) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const sleeper = { ms, atMs: elapsedMs + ms, wake: resolve };
        sleepers.add(sleeper);
        signal.addEventListener('abort', () => {
          sleepers.delete(sleeper);
          reject(signal.reason as Error);
        });
      }),
    waiting: () => Array.from(sleepers, ({ ms }) => ms),
    async pass(ms) {
      await quiet();
      const endMs = elapsedMs + ms;
      for (;;) {
        const [next] = [...sleepers].sort((a, b) => a.atMs - b.atMs);
        if (next === undefined || next.atMs > endMs) break;
        self.nowMs += next.atMs - elapsedMs;
        elapsedMs = next.atMs;
        sleepers.delete(next);
        next.wake();
        await quiet();
      }
      self.nowMs += endMs - elapsedMs;
      elapsedMs = endMs;
    },
  };
  return self;
}

/** An open stream whose other end is the test. */
export interface FakeChat extends OpenChat {
  /** The counters of the messages of each write, and its other frames. */
  readonly writes: { counters: number[]; others: Frame['body'][] }[];
  /** All counters written, in order. */
  counters(): number[];
  readonly closedWith: Error | undefined;
  /** The other end goes. */
  end(error?: Error): void;
}

export function fakeChat(): FakeChat {
  const { promise: closed, resolve, reject } = Promise.withResolvers<void>();
  closed.catch(() => undefined);
  const writes: FakeChat['writes'] = [];
  let closedWith: Error | undefined;
  const end = (error?: Error): void => {
    closedWith ??= error;
    if (error === undefined) resolve();
    else reject(error);
  };
  return {
    writes,
    counters: () => writes.flatMap(({ counters }) => counters),
    get closedWith() {
      return closedWith;
    },
    write(encoded) {
      const bodies = framesIn(encoded).map((frame) => decodeFrame(frame).body);
      writes.push({
        counters: bodies.flatMap(({ case: kind, value }) =>
          kind === 'message' ? [decodeMessage(value).counter] : [],
        ),
        others: bodies.filter(({ case: kind }) => kind !== 'message'),
      });
    },
    closed,
    close: end,
    end,
  };
}

/** `count` numbers from `first`. */
export const counted = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => first + index);

export const silentLog: Logger = Object.assign(() => undefined, {
  error: () => undefined,
  trace: () => undefined,
  enabled: false,
  newScope: () => silentLog,
});

/** Mailboxes that carry frames as they are, for who looks at what is delivered. */
export const UNSEALED: Pick<DeliveryInit, 'sessions' | 'prekeys'> = {
  sessions: { opened: async () => undefined, lost: async () => false, forget: async () => undefined },
  prekeys: { ask: async () => [], prekeysWanted: async () => [], prekeys: async () => undefined },
};

/** The chain in which a store writes to a peer now. */
export function outgoingChain(store: TestStore, peer: string): { id: number; chain: Uint8Array } {
  return store.database
    .prepare(
      'SELECT c.id, c.chain FROM chains c JOIN peers p ON p.id = c.peer WHERE p.peer_id_index = ? AND direction = 0 ORDER BY c.id DESC',
    )
    .get(TEST_SEALED.peerIdIndex(peer)) as unknown as { id: number; chain: Uint8Array };
}
