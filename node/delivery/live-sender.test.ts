import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import fc from 'fast-check';
import { CHAT_LIMITS, encodeReceipt } from '../../protocols/chat/protocol.ts';
import type { NodeStore } from '../store/operations.ts';
import type { SentBatch } from '../store/outgoing.ts';
import { testStore, unproved } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import type { VerifyOptions } from '../silent-connections.ts';
import { counted, fakeChat, outgoingChain, quiet, until } from './delivery-fixture.ts';
import type { FakeChat } from './delivery-fixture.ts';
import { liveSender } from './live-sender.ts';
import type { LiveSender } from './live-sender.ts';

const BOB = 'bob';
const NOW = 1_800_000_000_000;
const SUSPECT_MS = 3_000;

let store: TestStore;
let chat: FakeChat;
let sender: LiveSender;
let running: Promise<void>;
/** The peer was asked for a sign of life. */
let questions: (VerifyOptions & { answer: () => void })[];

function open(client: NodeStore = store.client): void {
  chat = fakeChat();
  questions = [];
  sender = liveSender({
    chat,
    peer: BOB,
    store: client,
    verify(options) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      questions.push({ ...options, answer: () => resolve(true) });
      options.signal.addEventListener('abort', () => resolve(true));
      return promise;
    },
  });
  running = sender.run();
  running.catch(() => undefined);
}

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  store = testStore();
});
afterEach(async () => {
  chat.end();
  await running.catch(() => undefined);
  await quiet();
  store.close();
  mock.timers.reset();
});

const commit = (count: number, bytes = 4): SentBatch =>
  store.operations['messages.send']({
    items: Array.from({ length: count }, () => ({ peer: BOB, text: 'x'.repeat(bytes) })),
    nowMs: NOW,
  });

const offer = ({ chains, counters, frames }: SentBatch): void =>
  sender.offer(chains[0]!, counters[0]!, counters.at(-1)!, frames);

/** The peer says it has these. */
function ack(first: number, last: number): void {
  const { chain } = outgoingChain(store, BOB);
  const settled = store.operations['messages.acked']({ peer: BOB, chain, ...unproved([{ first, last }]) })!;
  sender.acknowledged(settled.chain, settled.settled);
}

const wrote = (count: number): Promise<void> =>
  until(() => chat.counters().length >= count, `${count} messages written`);

test('what waits in the outbox goes first, then what is offered, straight from the commit', async () => {
  commit(3);
  open();
  await wrote(3);
  await quiet();
  let calls = 0;
  const { call } = store.client;
  mock.method(store.client, 'call', (...args: Parameters<typeof call>) => {
    calls++;
    return call(...args);
  });
  offer(commit(2));
  offer(commit(1));
  assert.deepEqual(chat.counters(), counted(1, 6));
  await quiet();
  assert.equal(calls, 0, 'the hot path asks the store for nothing');
  assert.deepEqual(chat.writes.at(-1)!.counters, [6]);
});

test('offered while the outbox is read: after it, once, in order', async () => {
  commit(5);
  open();
  offer(commit(2));
  offer(commit(1));
  await wrote(8);
  await quiet();
  assert.deepEqual(chat.counters(), counted(1, 8));
});

test('more offers than are kept while the outbox is read come out of it', async () => {
  commit(1);
  open();
  for (let index = 0; index < 200; index++) offer(commit(1));
  await wrote(201);
  await quiet();
  assert.deepEqual(chat.counters(), counted(1, 201));
});

test('an offer that does not follow, or overlaps, is put right from the outbox', async () => {
  open();
  await quiet();
  const [first, second] = [commit(2), commit(2)];
  offer(second);
  await wrote(4);
  offer(first);
  offer(second);
  offer(commit(1));
  await wrote(5);
  await quiet();
  assert.deepEqual(chat.counters(), counted(1, 5));
});

test('no more than a window of messages is on the way; acknowledgements let more through', async () => {
  const max = CHAT_LIMITS.maxUnacknowledged;
  commit(max + 10);
  open();
  await wrote(max);
  offer(commit(5));
  await quiet();
  assert.equal(chat.counters().length, max);
  ack(1, 3);
  await wrote(max + 3);
  await quiet();
  assert.equal(chat.counters().length, max + 3);
  ack(1, max + 3);
  await wrote(max + 15);
  assert.deepEqual(chat.counters(), counted(1, max + 15));
});

test('no more than 4 MiB are on the way', async () => {
  commit(200, 48_000);
  open();
  await quiet();
  await quiet();
  const first = chat.counters().length;
  assert.ok(first > 80 && first < 100, `${first} of 48 kB`);
  const more = commit(1, 48_000);
  offer(more);
  await quiet();
  assert.equal(chat.counters().length, first);
  for (let acked = 10; chat.counters().length < 201; acked += 10) {
    ack(1, Math.min(acked, chat.counters().length));
    await quiet();
    assert.ok(chat.counters().length - Math.min(acked, 201) <= first + 1);
  }
  assert.deepEqual(chat.counters(), counted(1, 201));
});

test('without acknowledgements for thirty seconds the stream is given up; any of them buys time', async () => {
  // The mocked timers' refresh() does nothing, so the timer itself is watched.
  const timers: { ms: number; refreshed: number; fire: () => void }[] = [];
  mock.method(globalThis, 'setTimeout', (fire: () => void, ms: number) => {
    const timer = { ms, fire, refreshed: 0, refresh: () => timer.refreshed++ };
    timers.push(timer);
    return timer;
  });
  commit(3);
  open();
  await wrote(3);
  offer(commit(1));
  await wrote(4);
  ack(1, 1);
  ack(1, 1);
  ack(1, 2);
  mock.restoreAll();
  assert.deepEqual(
    timers.map(({ ms, refreshed }) => [ms, refreshed]),
    [
      [CHAT_LIMITS.ackTimeoutMs, 2],
      [SUSPECT_MS, 2],
    ],
  );
  assert.equal(chat.closedWith, undefined);
  timers[0]!.fire();
  await assert.rejects(running, { name: 'TimeoutError' });
});

test('a stream on which everything is acknowledged may be silent for ever', async () => {
  commit(3);
  open();
  await wrote(3);
  ack(1, 3);
  mock.timers.tick(CHAT_LIMITS.ackTimeoutMs * 10);
  await quiet();
  assert.equal(chat.closedWith, undefined);
  offer(commit(1));
  mock.timers.tick(CHAT_LIMITS.ackTimeoutMs);
  await assert.rejects(running, { name: 'TimeoutError' });
});

test('a peer that acknowledges nothing is asked for a sign of life, again and again, with patience for what it was sent', async () => {
  commit(2, 20_000);
  open();
  await wrote(2);
  mock.timers.tick(SUSPECT_MS - 1);
  assert.equal(questions.length, 0);
  mock.timers.tick(1);
  assert.equal(questions.length, 1);
  assert.ok(questions[0]!.extraMs! > 2_500 && Number.isInteger(questions[0]!.extraMs));
  mock.timers.tick(SUSPECT_MS);
  assert.equal(questions.length, 1, 'the first one is still under way');
  questions[0]!.answer();
  await quiet();
  mock.timers.tick(SUSPECT_MS);
  assert.equal(questions.length, 2);
  // Asked for by others, too: it is one question.
  const verified = sender.verify();
  ack(1, 1);
  assert.equal(await verified, true);
  assert.deepEqual([questions[1]!.signal.aborted, questions.length], [true, 2]);
  ack(2, 2);
  mock.timers.tick(SUSPECT_MS * 3);
  await quiet();
  assert.equal(questions.length, 2, 'nothing waits any more');
  assert.equal(chat.closedWith, undefined);
});

test('who is being asked when the stream ends is left alone', async () => {
  commit(1);
  open();
  await wrote(1);
  mock.timers.tick(SUSPECT_MS);
  chat.end();
  await running;
  await quiet();
  assert.equal(questions[0]!.signal.aborted, true);
  mock.timers.tick(SUSPECT_MS * 3);
  assert.equal(await sender.verify(), false);
  assert.equal(questions.length, 1);
});

test('an acknowledgement of what was not written here does not count for what was', async () => {
  const max = CHAT_LIMITS.maxUnacknowledged;
  commit(max + 50);
  open();
  await wrote(max);
  // These are behind the window: a mailbox has delivered them.
  ack(max + 1, max + 40);
  await quiet();
  assert.equal(chat.counters().length, max);
  mock.timers.tick(CHAT_LIMITS.ackTimeoutMs);
  await assert.rejects(running, { name: 'TimeoutError' });
});

test('a wake looks at the outbox again', async () => {
  open();
  await quiet();
  commit(2);
  assert.equal(chat.counters().length, 0);
  sender.wake();
  await wrote(2);
});

test('what is delivered is not sent again; what waits in a mailbox is, for the stream is faster', async () => {
  commit(6);
  const { id, chain } = outgoingChain(store, BOB);
  store.operations['messages.acked']({ peer: BOB, chain, ...unproved([{ first: 1, last: 2 }]) });
  store.operations['messages.acked']({ peer: BOB, chain, ...unproved([{ first: 5, last: 5 }]) });
  store.operations['messages.stored']({ chain: id, ranges: [{ first: 3, last: 6 }], nowMs: NOW });
  open();
  await wrote(3);
  await quiet();
  assert.deepEqual(chat.counters(), [3, 4, 6]);
});

test('other frames go beside the messages', async () => {
  open();
  sender.write([encodeReceipt(new Uint8Array(8), 7)]);
  assert.equal(chat.writes[0]!.others[0]!.case, 'receipt');
});

test('the run ends with the stream, quietly or with what broke it, and leaves no timer', async () => {
  commit(1);
  open();
  await wrote(1);
  chat.end();
  await running;
  offer(commit(1));
  await quiet();
  assert.deepEqual(chat.counters(), [1]);
  open();
  chat.end(new Error('reset'));
  await assert.rejects(running, { message: 'reset' });
  mock.timers.tick(CHAT_LIMITS.ackTimeoutMs);
  assert.equal(chat.closedWith!.message, 'reset');
  open();
  // It ends while the outbox is being read.
  chat.end();
  await quiet();
  mock.timers.tick(CHAT_LIMITS.ackTimeoutMs);
  assert.equal(chat.closedWith, undefined);
});

test('a store that fails breaks the stream', async () => {
  const failing = {
    waiting: 0,
    call: () => Promise.reject(new Error('the disk is full')),
  } as unknown as NodeStore;
  open(failing);
  await assert.rejects(running, { message: 'the disk is full' });
  assert.equal(chat.closedWith!.message, 'the disk is full');
});

test('however commits, reads of the outbox and acknowledgements interleave: every message once, in order', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('offer' as const), count: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constantFrom('turn' as const, 'wake' as const, 'hidden' as const, 'ack' as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, behind) => {
      store.close();
      store = testStore();
      let sent = 0;
      if (behind) {
        commit(3);
        sent = 3;
      }
      open();
      for (const next of steps) {
        if (next.kind === 'offer') {
          offer(commit(next.count));
          sent += next.count;
        } else if (next.kind === 'hidden') {
          commit(1);
          sent++;
          sender.wake();
        } else if (next.kind === 'wake') sender.wake();
        else if (next.kind === 'ack' && chat.counters().length > 0) ack(1, chat.counters().length);
        else await new Promise(setImmediate);
      }
      await wrote(sent);
      await quiet();
      assert.deepEqual(chat.counters(), counted(1, sent));
      chat.end();
      await running;
      await quiet();
    }),
    { numRuns: 60 },
  );
});
