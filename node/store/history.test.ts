import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { formatMessageId } from './message-id.ts';
import type { HistoryPosition, StoredMessage } from './history.ts';
import { messagesIn, testStore, unproved } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW = 1_800_000_000_000;

/** `store` is the one looked at; `far` is where its friends write. */
let store: TestStore;
let far: TestStore;
beforeEach(() => {
  store = testStore();
  far = testStore();
});
afterEach(() => {
  store.close();
  far.close();
});

const ops = () => store.operations;
const sendTo = (peer: string, text: string, nowMs: number) =>
  ops()['messages.send']({ items: [{ peer, text }], nowMs });

/** What `peer` writes to us. Each friend writes in the chain of a peer of its own name. */
const writtenBy = (peer: string, texts: string[], nowMs: number): Uint8Array[] =>
  messagesIn(far.operations['messages.send']({ items: texts.map((text) => ({ peer, text })), nowMs }).frames);
const receive = (peer: string, messages: Uint8Array[], nowMs: number) =>
  ops()['messages.receive']({ peer, messages, viaMailbox: false, nowMs });
const receiveFrom = (peer: string, texts: string[], nowMs: number) =>
  receive(peer, writtenBy(peer, texts, nowMs), nowMs);

const texts = (messages: StoredMessage[]): string[] => messages.map(({ text }) => text);
const page = (peer: string, limit = 1_000, before?: HistoryPosition): StoredMessage[] =>
  ops()['history.page']({ peer, limit, ...(before !== undefined && { before }) });
const inbox = (unread = false, after = 0, limit = 1_000): StoredMessage[] =>
  ops()['history.inbox']({ after, unread, limit });

test('a page is the newest of one conversation, both ways, in reading order', () => {
  sendTo('ann', 'hello', NOW);
  receiveFrom('bob', ['elsewhere'], NOW + 1);
  receiveFrom('ann', ['hi', 'you'], NOW + 2);
  sendTo('ann', 'bye', NOW + 3);
  assert.deepEqual(texts(page('ann')), ['hello', 'hi', 'you', 'bye']);
  assert.deepEqual(texts(page('ann', 2)), ['you', 'bye']);
  assert.deepEqual(page('nobody'), []);
  const [hello, hi] = page('ann') as [StoredMessage, StoredMessage];
  assert.deepEqual(
    [hello.outgoing, hello.state, hello.receivedAtMs, hello.sentAtMs],
    [true, 'queued', 0, NOW],
  );
  assert.deepEqual([hi.outgoing, hi.state, hi.receivedAtMs, hi.peer], [false, 'unread', NOW + 2, 'ann']);
});

test('walking back by cursors shows everything once and in order, while new messages come', () => {
  const step = fc.tuple(fc.constantFrom('ann', 'bob'), fc.boolean(), fc.nat(3));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 7 }), (steps, limit) => {
      store.close();
      far.close();
      store = testStore();
      far = testStore();
      let nowMs = NOW;
      const write = ([peer, outgoing, by]: [string, boolean, number]): void => {
        nowMs += by;
        if (outgoing) sendTo(peer, 'mine', nowMs);
        else receiveFrom(peer, ['theirs'], nowMs);
      };
      steps.forEach(write);
      const before = page('ann').map(({ row }) => row);
      const walked: number[] = [];
      let cursor: HistoryPosition | undefined;
      for (;;) {
        const messages = page('ann', limit, cursor);
        walked.unshift(...messages.map(({ row }) => row));
        if (messages.length < limit) break;
        [cursor] = messages;
        write(['ann', walked.length % 2 === 0, 1]);
      }
      assert.deepEqual(walked, before);
    }),
    { numRuns: 60 },
  );
});

test('the inbox is in the order of arrival, from everybody, and pages by row', () => {
  const late = writtenBy('ann', ['a1', 'a2', 'a3'], NOW);
  receiveFrom('bob', ['b1'], NOW + 5);
  sendTo('bob', 'mine', NOW + 6);
  receive('ann', late, NOW + 7);
  assert.deepEqual(texts(inbox()), ['b1', 'a1', 'a2', 'a3']);
  const [first] = inbox(false, 0, 1);
  assert.deepEqual(texts(inbox(false, first!.row, 2)), ['a1', 'a2']);
  assert.deepEqual(texts(ops()['history.after']({ row: first!.row, limit: 10 })), ['mine', 'a1', 'a2', 'a3']);
  assert.equal(ops()['history.newest-row'](), 5);
});

test('reading marks what arrived before, tells how far per chain, and never goes back', () => {
  receiveFrom('ann', ['1', '2', '3'], NOW);
  receiveFrom('bob', ['4'], NOW);
  const [one, two, three] = page('ann') as [StoredMessage, StoredMessage, StoredMessage];
  const read = (peer: string, id: string) => ops()['history.read']({ peer, id });
  const first = read('ann', two.id)!;
  assert.equal(first.unread, 1);
  assert.deepEqual(
    first.receipts.map(({ readUpTo }) => readUpTo),
    [2],
  );
  assert.deepEqual(
    page('ann').map(({ state }) => state),
    ['read', 'read', 'unread'],
  );
  assert.deepEqual(read('ann', one.id), { unread: 1, receipts: [] });
  assert.deepEqual(texts(inbox(true)), ['3', '4']);
  assert.equal(ops()['history.summary']().unread, 2);
  assert.equal(read('bob', three.id), undefined);
  assert.equal(read('nobody', three.id), undefined);
  assert.equal(read('ann', '00000000-0000-7000-8000-000000000000'), undefined);
  assert.equal(read('ann', three.id)!.unread, 0);
  assert.equal(ops()['history.unread']({ peer: 'ann' }), 0);
  assert.equal(ops()['history.unread']({ peer: 'nobody' }), 0);
  assert.deepEqual(texts(inbox(true)), ['4']);
  read('bob', page('bob')[0]!.id);
  assert.deepEqual(inbox(true), []);
  receiveFrom('ann', ['5'], NOW + 1);
  store.restart();
  assert.deepEqual(texts(inbox(true)), ['5']);
});

test('a receipt does not claim what filled a gap after the reading, nor what lies beyond one', () => {
  const messages = writtenBy('ann', ['1', '2', '3', '4', '5'], NOW);
  receive('ann', [messages[0]!, messages[2]!], NOW);
  const read = (id: string): number[] =>
    store.operations['history.read']({ peer: 'ann', id })!.receipts.map(({ readUpTo }) => readUpTo);
  const [one, three] = page('ann') as [StoredMessage, StoredMessage];
  receive('ann', [messages[1]!], NOW + 1);
  assert.deepEqual(read(three.id), [1], 'the second came after the third and is not read');
  assert.deepEqual(read(one.id), []);
  receive('ann', [messages[4]!], NOW + 2);
  assert.deepEqual(read(page('ann').at(-1)!.id), [3], 'the fourth is missing');
});

test('conversations come with their last message and unread count, the latest first', () => {
  assert.deepEqual(ops()['history.conversations'](), []);
  receiveFrom('ann', ['a'], NOW);
  sendTo('bob', 'b', NOW + 1);
  receiveFrom('ann', ['c', 'd'], NOW + 2);
  ops()['papers.put']({ peer: 'silent', card: null, certificate: null });
  assert.deepEqual(
    store.operations['history.conversations']().map(({ peer, unread, last }) => [peer, unread, last.text]),
    [
      ['ann', 3, 'd'],
      ['bob', 0, 'b'],
    ],
  );
});

test('one message by its id; an id that is none is none', () => {
  const { ids } = sendTo('ann', 'hello', NOW);
  assert.equal(ops()['history.message']({ id: formatMessageId(ids) })!.text, 'hello');
  for (const id of ['', 'no', '00000000-0000-7000-8000-000000000000'])
    assert.equal(ops()['history.message']({ id }), undefined);
});

test('the summary counts what is not delivered and since when', () => {
  assert.deepEqual(ops()['history.summary'](), { undelivered: 0, oldestMs: null, unread: 0 });
  sendTo('ann', '1', NOW);
  sendTo('bob', '3', NOW + 3);
  sendTo('ann', '2', NOW + 5);
  assert.deepEqual(ops()['history.summary'](), { undelivered: 3, oldestMs: NOW, unread: 0 });
  const { chain } = store.database.prepare('SELECT chain FROM chains WHERE id = 1').get() as {
    chain: Uint8Array;
  };
  ops()['messages.acked']({ peer: 'ann', chain, ...unproved([{ first: 1, last: 1 }]) });
  assert.deepEqual(ops()['history.summary'](), { undelivered: 2, oldestMs: NOW + 3, unread: 0 });
});
