import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { decodeMessage, messageHash } from '../../protocols/chat/message.ts';
import { CHAT_LIMITS } from '../../protocols/chat/protocol.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { formatMessageId } from './message-id.ts';
import type { PendingChain } from './outgoing.ts';
import { messagesIn, TEST_SEALED, testStore, unproved } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const BOB = 'bob';
const NOW = 1_800_000_000_000;
const TEN_YEARS = 10 * 365 * 24 * 3600_000;

let store: TestStore;
beforeEach(() => {
  store = testStore();
});
afterEach(() => store.close());

const ops = () => store.operations;

function send(texts: string[], { peer = BOB, nowMs = NOW } = {}) {
  return ops()['messages.send']({ items: texts.map((text) => ({ peer, text })), nowMs });
}

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `text ${index + 1}`);

const chainBytes = (peer = BOB): Uint8Array =>
  store.database
    .prepare(
      'SELECT chain FROM chains JOIN peers p ON p.id = peer WHERE p.peer_id_index = ? AND direction = 0 ORDER BY chains.id DESC',
    )
    .get(TEST_SEALED.peerIdIndex(peer))!['chain'] as Uint8Array;

const ack = (...ranges: [number, number][]) =>
  ops()['messages.acked']({
    peer: BOB,
    chain: chainBytes(),
    ...unproved(ranges.map(([first, last]) => ({ first, last }))),
  });

const frames = (after = 0, options: { maxBytes?: number; maxCount?: number; skipStored?: boolean } = {}) =>
  ops()['messages.frames']({
    chain: pending().chain,
    after,
    maxBytes: 1 << 20,
    maxCount: 100,
    skipStored: false,
    ...options,
  });

const pending = (peer = BOB): PendingChain => ops()['messages.pending']({ peer })[0]!;
const countersIn = (encoded: Uint8Array): number[] =>
  messagesIn(encoded).map((message) => decodeMessage(message).counter);
const states = (peer = BOB): string[] =>
  store.operations['history.page']({ peer, limit: 1_000 }).map(({ state }) => state);
const counted = (first: number, last: number): Range[] => [{ first, last }];

test('a batch is committed in order, with an id, a counter, a hash chain and a frame each', () => {
  const batch = send(['one', 'two', 'three']);
  const messages = messagesIn(batch.frames);
  assert.deepEqual([...batch.counters], [1, 2, 3]);
  assert.deepEqual(
    messages.map((message) => decodeMessage(message).text),
    ['one', 'two', 'three'],
  );
  let previous: Uint8Array = new Uint8Array(0);
  for (const [index, encoded] of messages.entries()) {
    const message = decodeMessage(encoded);
    assert.deepEqual(Buffer.from(message.previous), Buffer.from(previous));
    assert.equal(message.counter, index + 1);
    assert.deepEqual(Buffer.from(message.id), Buffer.from(batch.ids.subarray(index * 16, index * 16 + 16)));
    assert.equal(message.clockMs, batch.clocks[index * 2]);
    assert.equal(message.clockCount, batch.clocks[index * 2 + 1]);
    const frameStart = index === 0 ? 0 : batch.ends[index - 1]!;
    assert.deepEqual(countersIn(batch.frames.subarray(frameStart, batch.ends[index])), [index + 1]);
    const stored = ops()['history.message']({ id: formatMessageId(batch.ids, index * 16) })!;
    assert.equal(stored.row, batch.rows[index]);
    assert.equal(stored.state, 'queued');
    previous = messageHash(encoded);
  }
  const next = decodeMessage(messagesIn(send(['four']).frames)[0]!);
  assert.equal(next.counter, 4);
  assert.deepEqual(Buffer.from(next.previous), Buffer.from(previous));
});

test('every peer has a chain of its own', () => {
  const batch = ops()['messages.send']({
    items: ['a', 'b', 'a', 'c', 'b'].map((peer) => ({ peer, text: 'x' })),
    nowMs: NOW,
  });
  assert.deepEqual([...batch.counters], [1, 1, 2, 1, 2]);
  assert.equal(new Set(batch.chains).size, 3);
  assert.deepEqual(ops()['messages.waiting-peers'](), ['a', 'b', 'c']);
});

test('the clock of what is written only goes forward, when the machine goes back or forth ten years, and after a restart', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(0, -TEN_YEARS, TEN_YEARS, 1, -1), fc.boolean()), { maxLength: 12 }),
      (steps) => {
        using here = { store: testStore(), [Symbol.dispose]: () => here.store.close() };
        let last = [-1, 0];
        for (const [by, restart] of steps) {
          if (restart) here.store.restart();
          const { clocks, frames } = here.store.operations['messages.send']({
            items: [
              { peer: 'a', text: 'x' },
              { peer: 'b', text: 'y' },
            ],
            nowMs: NOW + by,
          });
          for (const at of [0, 2]) {
            const [ms, count] = [clocks[at]!, clocks[at + 1]!];
            assert.ok(
              ms > last[0]! || (ms === last[0] && count > last[1]!),
              `${ms}/${count} after ${last.join('/')}`,
            );
            last = [ms, count];
          }
          assert.equal(decodeMessage(messagesIn(frames)[0]!).sentAtMs, NOW + by);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test('what is pending is what lies above the watermark', () => {
  send(numbered(10));
  const { chain } = pending();
  assert.deepEqual(pending(), { chain, first: 1, last: 10, firstUnstored: 1, storedMs: 0 });
  ops()['messages.stored']({ chain, ranges: [...counted(1, 2), ...counted(5, 5)], nowMs: 77 });
  assert.deepEqual(pending(), { chain, first: 1, last: 10, firstUnstored: 3, storedMs: 77 });
  ack([1, 3]);
  assert.deepEqual(pending(), { chain, first: 4, last: 10, firstUnstored: 4, storedMs: 77 });
  ops()['messages.stored']({ chain, ranges: counted(4, 10), nowMs: 78 });
  assert.deepEqual(pending(), { chain, first: 4, last: 10, storedMs: 78 });
  ack([1, 10]);
  assert.deepEqual(ops()['messages.pending']({ peer: BOB }), []);
  assert.deepEqual(ops()['messages.pending']({ peer: 'nobody' }), []);
  assert.deepEqual(ops()['messages.waiting-peers'](), []);
});

test('frames come in order, within both bounds, one at least, around what is delivered or in a mailbox', () => {
  send(numbered(10));
  const { chain } = pending();
  const one = frames(0, { maxBytes: 1 });
  assert.deepEqual(countersIn(one.frames), [1]);
  assert.deepEqual(one, { frames: one.frames, count: 1, upTo: 1, ranges: counted(1, 1) });
  assert.deepEqual(countersIn(frames(2, { maxCount: 3 }).frames), [3, 4, 5]);
  assert.deepEqual(frames(0, { maxCount: 0 }).count, 0);
  const size = frames(1, { maxBytes: 1 }).frames.byteLength;
  assert.equal(frames(1, { maxBytes: size * 4 }).count, 4);
  ack([1, 1], [4, 5], [8, 8]);
  const around = frames();
  assert.deepEqual(countersIn(around.frames), [2, 3, 6, 7, 9, 10]);
  assert.deepEqual(around.ranges, [...counted(2, 3), ...counted(6, 7), ...counted(9, 10)]);
  assert.equal(around.upTo, 10);
  ops()['messages.stored']({ chain, ranges: counted(2, 6), nowMs: NOW });
  assert.deepEqual(countersIn(frames(0, { skipStored: true }).frames), [7, 9, 10]);
  assert.deepEqual(countersIn(frames(0).frames), [2, 3, 6, 7, 9, 10]);
  assert.deepEqual(frames(10), { frames: new Uint8Array(0), count: 0, upTo: 10, ranges: [] });
});

test('the bytes sent again are the bytes sent first', () => {
  const { frames: first } = send(numbered(5));
  store.restart();
  assert.deepEqual(Buffer.from(frames().frames), Buffer.from(first));
});

test('a statement left in the middle of a page does not hold up a rollback', () => {
  send(numbered(20));
  const { chain } = pending();
  const read = { chain, after: 0, maxBytes: 1, maxCount: 20, skipStored: false };
  const [page, failure, after] = store.group([
    ['messages.frames', read],
    ['messages.stored', { chain: 999, ranges: [], nowMs: NOW }],
    ['messages.frames', read],
  ]);
  assert.deepEqual(page, after);
  assert.equal((failure as { code: string }).code, 'corrupt');
});

test('an acknowledgement settles once, names what is new, and never goes back', () => {
  const { rows } = send(numbered(6));
  const first = ack([1, 2], [5, 5])!;
  assert.deepEqual([...first.rows], [rows[0], rows[1], rows[4]]);
  assert.deepEqual(first.settled, [...counted(1, 2), ...counted(5, 5)]);
  assert.equal(first.ids.byteLength, 48);
  assert.deepEqual(states(), ['delivered', 'delivered', 'queued', 'queued', 'delivered', 'queued']);
  for (const again of [ack([1, 2], [5, 5])!, ack([1, 1])!, ack()!])
    assert.deepEqual([...again.rows, ...again.settled], []);
  assert.deepEqual([...ack([1, 6])!.rows], [rows[2], rows[3], rows[5]]);
  assert.deepEqual(
    states(),
    Array.from({ length: 6 }, () => 'delivered'),
  );
});

test('an acknowledgement about a chain that is not known is undefined and changes nothing', () => {
  send(numbered(3));
  assert.equal(
    ops()['messages.acked']({ peer: BOB, chain: new Uint8Array(8), ...unproved(counted(1, 1)) }),
    undefined,
  );
  assert.equal(
    ops()['messages.acked']({ peer: 'mallory', chain: chainBytes(), ...unproved(counted(1, 1)) }),
    undefined,
  );
  send(['to mallory'], { peer: 'mallory' });
  assert.equal(
    ops()['messages.acked']({ peer: 'mallory', chain: chainBytes(), ...unproved(counted(1, 1)) }),
    undefined,
  );
  assert.deepEqual(states(), ['queued', 'queued', 'queued']);
});

test('one acknowledgement may settle more messages than a call takes arguments', () => {
  for (let round = 0; round < 15; round++) send(Array.from({ length: 10_000 }, () => 'x'));
  assert.equal(ack([1, 150_000])!.rows.length, 150_000);
});

test('stored is told once, and not of what is delivered; a second deposit changes only its time', () => {
  const { rows } = send(numbered(4));
  const { chain } = pending();
  ack([2, 2]);
  const stored = ops()['messages.stored']({ chain, ranges: counted(1, 3), nowMs: NOW });
  assert.equal(stored.peer, BOB);
  assert.deepEqual([...stored.rows], [rows[0], rows[2]]);
  assert.deepEqual(states(), ['stored', 'delivered', 'stored', 'queued']);
  assert.equal(ops()['messages.stored']({ chain, ranges: counted(1, 3), nowMs: NOW }).rows.length, 0);
  assert.equal(ops()['messages.stored']({ chain, ranges: [], nowMs: NOW + 5 }).rows.length, 0);
  assert.equal(pending().storedMs, NOW + 5);
  store.restart();
  assert.deepEqual(states(), ['stored', 'delivered', 'stored', 'queued']);
});

test('a refusal fails one message for good; what is delivered can not fail any more', () => {
  const { rows } = send(numbered(3));
  const refuse = (counter: number) =>
    ops()['messages.refused']({ peer: BOB, chain: chainBytes(), counter, reason: 'conflict' });
  ack([1, 1]);
  assert.equal(refuse(1)!.rows.length, 0);
  assert.deepEqual([...refuse(2)!.rows], [rows[1]]);
  assert.equal(refuse(2)!.rows.length, 0);
  assert.equal(refuse(4), undefined);
  assert.deepEqual(states(), ['delivered', 'failed', 'queued']);
  assert.deepEqual(countersIn(frames().frames), [3]);
  assert.equal(ack([1, 3])!.rows.length, 1);
  assert.deepEqual(states(), ['delivered', 'failed', 'delivered']);
  assert.equal(ops()['history.page']({ peer: BOB, limit: 10 })[1]!.failure, 'conflict');
});

test('a receipt reads and delivers up to its counter, except what failed, and never goes back', () => {
  const { rows } = send(numbered(5));
  const receipt = (readUpTo: number) =>
    ops()['messages.receipt']({ peer: BOB, chain: chainBytes(), readUpTo, hash: new Uint8Array(0) });
  ops()['messages.refused']({ peer: BOB, chain: chainBytes(), counter: 2, reason: 'malformed' });
  ack([1, 1]);
  const read = receipt(3)!;
  assert.deepEqual([...read.rows], [rows[0], rows[2]]);
  assert.deepEqual(read.settled, counted(3, 3));
  assert.deepEqual(states(), ['read', 'failed', 'read', 'queued', 'queued']);
  for (const other of [receipt(3), receipt(1), receipt(6)]) assert.equal(other, undefined);
  assert.deepEqual(pending().first, 4);
  assert.deepEqual([...receipt(5)!.rows], [rows[3], rows[4]]);
  store.restart();
  assert.deepEqual(states(), ['read', 'failed', 'read', 'read', 'read']);
});

const without = (counters: Iterable<number>, known: Set<number>): number[] =>
  [...counters].filter((counter) => !known.has(counter));

test('the outbox against a set of counters', () => {
  const range = fc
    .tuple(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 0, max: 6 }))
    .map(([first, more]) => ({ first, last: first + more }));
  const step = fc.oneof(
    fc.record({ kind: fc.constant('send' as const), count: fc.integer({ min: 1, max: 8 }) }),
    fc.record({ kind: fc.constantFrom('acked' as const, 'stored' as const), range }),
    fc.record({ kind: fc.constant('restart' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      store.close();
      store = testStore();
      send(['first']);
      const chain = pending().chain;
      let sent = 1;
      const delivered = new Set<number>();
      const stored = new Set<number>();
      for (const next of steps) {
        if (next.kind === 'send') {
          send(numbered(next.count));
          sent += next.count;
        } else if (next.kind === 'restart') store.restart();
        else {
          const { first, last } = next.range;
          const fresh = new Set<number>();
          for (let counter = first; counter <= last; counter++) fresh.add(counter);
          if (next.kind === 'acked') {
            if (last > sent) continue;
            const changed = ack([first, last]);
            assert.equal(changed!.rows.length, without(fresh, delivered).length);
            for (const counter of fresh) delivered.add(counter);
          } else if (last <= sent) {
            const changed = ops()['messages.stored']({ chain, ranges: counted(first, last), nowMs: NOW });
            assert.equal(changed.rows.length, without(without(fresh, stored), delivered).length);
            for (const counter of fresh) stored.add(counter);
          }
        }
        const all = Array.from({ length: sent }, (_, index) => index + 1);
        const waiting = all.filter((counter) => !delivered.has(counter));
        const request = { chain, after: 0, maxBytes: 1 << 20, maxCount: CHAT_LIMITS.maxUnacknowledged };
        assert.deepEqual(
          countersIn(ops()['messages.frames']({ ...request, skipStored: false }).frames),
          waiting,
        );
        assert.deepEqual(
          countersIn(ops()['messages.frames']({ ...request, skipStored: true }).frames),
          waiting.filter((counter) => !stored.has(counter)),
        );
        assert.deepEqual(
          states(),
          all.map((counter) =>
            delivered.has(counter) ? 'delivered' : stored.has(counter) ? 'stored' : 'queued',
          ),
        );
        assert.equal(ops()['messages.pending']({ peer: BOB })[0]?.first, waiting[0]);
        assert.equal(ops()['history.summary']().undelivered, waiting.length);
      }
    }),
    { numRuns: 60 },
  );
});
