import assert from 'node:assert/strict';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { encodeMessage, messageHash } from '../../protocols/chat/message.ts';
import { ackedRanges, CHAT_LIMITS, decodeFrame } from '../../protocols/chat/protocol.ts';
import { MessageSchema, Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { newMessageId } from './message-id.ts';
import { testStore } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const ALICE = 'alice';
const NOW = 1_800_000_000_000;
const TEN_YEARS = 10 * 365 * 24 * 3600_000;
const CHAIN = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

let store: TestStore;
beforeEach(() => {
  store = testStore();
});
afterEach(() => store.close());

interface Written {
  chain?: Uint8Array;
  first?: number;
  /** The author's clock at each counter. */
  clockMs?: (counter: number) => number;
  clockCount?: (counter: number) => number;
  text?: (counter: number) => string;
}

/** What an author wrote: `count` messages in a chain. */
function written(count: number, options: Written = {}): Uint8Array[] {
  const { chain = CHAIN, first = 1 } = options;
  const messages: Uint8Array[] = [];
  for (let counter = first; counter < first + count; counter++) {
    const before = messages.at(-1);
    messages.push(
      encodeMessage({
        id: newMessageId(NOW),
        chain,
        counter,
        previous: before === undefined ? new Uint8Array(counter === 1 ? 0 : 32) : messageHash(before),
        clockMs: options.clockMs?.(counter) ?? NOW + counter,
        clockCount: options.clockCount?.(counter) ?? 0,
        sentAtMs: NOW + counter,
        text: options.text?.(counter) ?? `text ${counter}`,
      }),
    );
  }
  return messages;
}

const receive = (messages: Uint8Array[], { viaMailbox = false, nowMs = NOW, peer = ALICE } = {}) =>
  store.operations['messages.receive']({ peer, messages, viaMailbox, nowMs });

const page = (peer = ALICE) => store.operations['history.page']({ peer, limit: 10_000 });
const counters = (peer = ALICE): number[] => page(peer).map(({ counter }) => counter);

/** The answers in words: what each Ack covers, why each Refusal. */
const inWords = (answers: Uint8Array[]): string[] =>
  answers.map((answer) => {
    const { body } = decodeFrame(answer);
    if (body.case === 'ack') {
      return `ack ${ackedRanges(body.value)
        .map(({ first, last }) => `${first}-${last}`)
        .join(' ')}`;
    }
    assert.equal(body.case, 'refusal');
    const { counter, reason } = body.value;
    return `refused ${counter} ${Object.entries(Refusal_Reason).find(([, value]) => value === reason)![0]}`;
  });

test('a batch is committed and acknowledged once, however often it comes', () => {
  const messages = written(3);
  const first = receive(messages);
  assert.deepEqual([...first.indexes], [0, 1, 2]);
  assert.deepEqual(inWords(first.answers), ['ack 1-3']);
  const again = receive(messages);
  assert.deepEqual([...again.rows], []);
  assert.deepEqual(inWords(again.answers), ['ack 1-3']);
  assert.deepEqual([...receive([messages[2]!, ...messages]).rows], []);
  assert.deepEqual(counters(), [1, 2, 3]);
  assert.equal(store.operations['history.unread']({ peer: ALICE }), 3);
});

test('a message that comes twice in one batch is taken once', () => {
  const [one, two] = written(2) as [Uint8Array, Uint8Array];
  assert.deepEqual([...receive([one, one, two, one, two]).indexes], [0, 2]);
});

test('a gap is counted, acknowledged around, and closed by what fills it', () => {
  const messages = written(7);
  const first = receive([messages[0]!, messages[3]!]);
  assert.deepEqual(
    [...first.places].filter((_, at) => at % 3 === 2),
    [0, 2],
  );
  assert.deepEqual(inWords(first.answers), ['ack 1-1 4-4']);
  assert.deepEqual(inWords(receive([messages[6]!]).answers), ['ack 1-1 4-4 7-7']);
  assert.deepEqual(
    page().map(({ missing }) => missing),
    [0, 2, 2],
  );
  assert.deepEqual(inWords(receive([messages[2]!]).answers), ['ack 1-1 3-4 7-7']);
  assert.deepEqual(
    page().map(({ counter, missing }) => [counter, missing]),
    [
      [1, 0],
      [3, 1],
      [4, 0],
      [7, 2],
    ],
  );
  store.restart();
  assert.deepEqual(inWords(receive(messages).answers), ['ack 1-7']);
  assert.deepEqual(
    page().map(({ counter, missing }) => [counter, missing]),
    [1, 2, 3, 4, 5, 6, 7].map((counter) => [counter, 0]),
  );
});

test('another message under a counter that is taken is refused, the others of its batch are not', () => {
  const messages = written(4);
  receive(messages.slice(0, 2));
  const [, forged] = written(2, { text: () => 'forged' }) as [Uint8Array, Uint8Array];
  const batch = receive([forged, ...messages.slice(2)]);
  assert.deepEqual(inWords(batch.answers), ['ack 1-4', 'refused 2 CONFLICT']);
  assert.deepEqual([...batch.indexes], [1, 2]);
  assert.equal(batch.refused.length, 1);
  assert.equal(page()[1]!.text, 'text 2');
});

test('a broken hash chain is refused from either side', () => {
  const messages = written(5);
  const others = written(5, { text: () => 'another history' });
  receive([messages[0]!]);
  assert.deepEqual(inWords(receive([others[1]!]).answers), ['ack 1-1', 'refused 2 CONFLICT']);
  receive([messages[3]!]);
  assert.deepEqual(inWords(receive([others[4]!]).answers), ['ack 1-1 4-4', 'refused 5 CONFLICT']);
  assert.deepEqual(inWords(receive([others[2]!]).answers), ['ack 1-1 4-4', 'refused 3 CONFLICT']);
  assert.deepEqual(inWords(receive(messages).answers), ['ack 1-5']);
});

test('what is no message is refused where that can be said, and passed over where not', () => {
  const [good] = written(1) as [Uint8Array];
  const big = written(1, { first: 2, text: () => 'x'.repeat(CHAT_LIMITS.maxTextBytes + 1) })[0]!;
  const empty = written(1, { first: 3, text: () => '' })[0]!;
  const batch = receive([Uint8Array.of(255, 255), big, new Uint8Array(0), empty, good]);
  assert.deepEqual(inWords(batch.answers), ['ack 1-1', 'refused 2 TOO_LARGE', 'refused 3 MALFORMED']);
  assert.equal(batch.refused.length, 4);
  assert.deepEqual([...batch.indexes], [4]);
});

test('random bytes never throw and store nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 5 }), (messages) => {
      const batch = receive(messages);
      assert.equal(batch.rows.length, 0);
    }),
  );
});

test('no numbers make the store fail, or keep us from writing', () => {
  const numbers = fc.oneof(
    fc.constantFrom(0n, 1n, 2n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n, 8_640_000_000_000_000n),
    fc.bigInt({ min: 1n, max: 200n }),
    fc.constant(BigInt(NOW)),
  );
  const hostile = fc.record({
    chain: fc.constantFrom(CHAIN, new Uint8Array(8), new Uint8Array(7)),
    counter: numbers,
    previous: fc.constantFrom(new Uint8Array(0), new Uint8Array(32)),
    clockMs: numbers,
    clockCount: fc.constantFrom(0, 1, 2 ** 32 - 1),
    sentAtMs: numbers,
  });
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 12 }), (all) => {
      store.close();
      store = testStore();
      const messages = all.map((fields) =>
        toBinary(
          MessageSchema,
          create(MessageSchema, {
            ...fields,
            id: newMessageId(NOW),
            content: { body: { case: 'text', value: 'x' } },
          }),
        ),
      );
      for (const message of messages) {
        const [batch] = store.group([
          ['messages.receive', { peer: ALICE, messages: [message], viaMailbox: true, nowMs: NOW }],
        ]);
        assert.ok('answers' in (batch as object), JSON.stringify(batch));
      }
      const read = store.operations['history.page']({ peer: ALICE, limit: 100 });
      store.restart();
      assert.deepEqual(store.operations['history.page']({ peer: ALICE, limit: 100 }), read);
      for (const { id } of read) store.operations['history.read']({ peer: ALICE, id });
      const { clocks } = store.operations['messages.send']({
        items: [{ peer: ALICE, text: 'hi' }],
        nowMs: NOW,
      });
      assert.ok(clocks[0]! <= NOW + 60_000 + 2 * CHAT_LIMITS.maxAckRanges);
    }),
    { numRuns: 300 },
  );
});

test('an author begins 64 chains at the most; the ones it has go on', () => {
  const chainOf = (index: number): Uint8Array => Uint8Array.of(9, 9, 9, 9, 9, 9, 9, index);
  const chains = Array.from({ length: 64 }, (_, index) => written(2, { chain: chainOf(index) }));
  for (const [first] of chains) receive([first!]);
  const refused = receive(written(1, { chain: chainOf(64) }));
  assert.deepEqual(inWords(refused.answers), ['refused 1 MALFORMED']);
  assert.deepEqual(inWords(receive([chains[7]![1]!]).answers), ['ack 1-2']);
  const other = receive(written(1, { chain: chainOf(64) }), { peer: 'bob' });
  assert.deepEqual(inWords(other.answers), ['ack 1-1']);
});

test('gaps are bounded by what an ack can name, wherever they open; what is left out is taken later', () => {
  const messages = written(400);
  const at = (counter: number): Uint8Array => messages[counter - 1]!;
  receive([at(1), at(400)]);
  const odd = Array.from({ length: 150 }, (_, index) => at(3 + index * 2));
  const batch = receive(odd);
  assert.equal(batch.rows.length, CHAT_LIMITS.maxAckRanges - 2);
  assert.equal(batch.refused.length, 0);
  const { delivered } = store.database.prepare('SELECT delivered FROM chains').get() as { delivered: string };
  assert.equal((JSON.parse(delivered) as unknown[]).length, CHAT_LIMITS.maxAckRanges);
  assert.equal(receive([at(2)]).rows.length, 1);
  assert.deepEqual(inWords(receive(messages).answers), ['ack 1-400']);
  assert.equal(counters().length, 400);
});

test('the first of a chain is taken even when as many gaps are open as may be', () => {
  const messages = written(200);
  receive(Array.from({ length: 100 }, (_, index) => messages[3 + index * 2]!).slice(0, 64));
  const [answer] = inWords(receive([messages[0]!]).answers);
  assert.ok(answer!.startsWith('ack 1-1 '));
});

test('an author is shown in the order of its counters, however its clock goes and whatever the order of arrival', () => {
  const jump = fc.constantFrom(0, 1, 5, -1, TEN_YEARS, -TEN_YEARS, 60_000, 59_999);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(jump, fc.constantFrom(0, 1, 2 ** 32 - 1)), { minLength: 1, maxLength: 20 }),
      fc.infiniteStream(fc.nat()),
      fc.infiniteStream(jump),
      fc.nat(6),
      (clocks, shuffle, arrival, cut) => {
        store.close();
        store = testStore();
        const messages = written(clocks.length, {
          clockMs: (counter) => NOW + clocks[counter - 1]![0],
          clockCount: (counter) => clocks[counter - 1]![1],
        });
        const order = messages
          .map((message) => ({ message, key: shuffle.next().value! }))
          .sort((a, b) => a.key - b.key)
          .map(({ message }) => message)
          .slice(0, Math.max(1, messages.length - cut));
        for (const message of order) {
          receive([message], { nowMs: NOW + arrival.next().value! });
          if (shuffle.next().value! % 4 === 0) store.restart();
          const shown = counters();
          assert.deepEqual(
            shown,
            shown.toSorted((a, b) => a - b),
          );
        }
        assert.equal(counters().length, order.length);
      },
    ),
    { numRuns: 150 },
  );
});

test('a clock ten years ahead is shown at most a minute ahead, one ten years behind as it is', () => {
  receive(written(3, { clockMs: () => NOW + TEN_YEARS }));
  receive(written(1, { clockMs: () => NOW - TEN_YEARS, chain: new Uint8Array(8) }), { peer: 'bob' });
  assert.deepEqual(
    page().map(({ clockMs, clockCount }) => [clockMs, clockCount]),
    [
      [NOW + 60_000, 0],
      [NOW + 60_000, 1],
      [NOW + 60_000, 2],
    ],
  );
  assert.equal(page('bob')[0]!.clockMs, NOW - TEN_YEARS);
});

test('nobody can bring our own clock to a stop, or far ahead', () => {
  const last = 2 ** 32 - 1;
  receive(written(2, { clockMs: () => NOW + 60_000, clockCount: () => last }));
  receive(written(1, { clockMs: () => NOW, first: Number.MAX_SAFE_INTEGER }));
  const { clocks } = store.operations['messages.send']({ items: [{ peer: ALICE, text: 'hi' }], nowMs: NOW });
  assert.ok(clocks[0]! <= NOW + 60_005, String(clocks[0]! - NOW));
  assert.equal(page().at(-1)!.text, 'hi');
});

test('the acknowledgement of what came through a mailbox is owed until it is paid', () => {
  const owed = (): string[] =>
    inWords(store.operations['messages.acks']({ peer: ALICE, owedOnly: true }).answers);
  const messages = written(5);
  assert.deepEqual(store.operations['messages.acks']({ peer: ALICE, owedOnly: true }), {
    answers: [],
    held: 0,
    introduced: '',
  });
  receive([messages[0]!]);
  assert.deepEqual(owed(), []);
  receive([messages[1]!], { viaMailbox: true });
  assert.deepEqual(owed(), ['ack 1-2']);
  assert.deepEqual(store.operations['messages.waiting-peers'](), [ALICE]);
  store.restart();
  const { held } = store.operations['messages.acks']({ peer: ALICE, owedOnly: true });
  receive([messages[2]!], { viaMailbox: true });
  store.operations['messages.acks-paid']({ peer: ALICE, held });
  assert.deepEqual(owed(), ['ack 1-3'], 'one came after the acknowledgement was made');
  const later = store.operations['messages.acks']({ peer: ALICE, owedOnly: true });
  store.operations['messages.acks-paid']({ peer: ALICE, held: later.held });
  assert.deepEqual(owed(), []);
  assert.deepEqual(store.operations['messages.waiting-peers'](), []);
  receive([messages[2]!], { viaMailbox: true });
  assert.deepEqual(owed(), ['ack 1-3'], 'it was left there again: the author does not know yet');
  assert.deepEqual(inWords(store.operations['messages.acks']({ peer: ALICE, owedOnly: false }).answers), [
    'ack 1-3',
  ]);
  store.operations['messages.acks-paid']({ peer: 'nobody', held: 0 });
});

test('a batch of which something is refused through a mailbox still owes its acknowledgement', () => {
  const messages = written(2);
  const batch = receive([Uint8Array.of(1), ...messages], { viaMailbox: true });
  assert.equal(batch.refused.length, 1);
  assert.deepEqual(store.operations['messages.acks']({ peer: ALICE, owedOnly: true }).held, 2);
});
