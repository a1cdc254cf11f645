import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { decodeMessage, encodeMessage, messageHash } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import { ackedRanges, decodeFrame } from '../../protocols/chat/protocol.ts';
import { MAX_CHAINS_PER_PEER } from './chains.ts';
import { newMessageId } from './message-id.ts';
import type { AckedBatch } from './states.ts';
import { messagesIn, testStore, unproved } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW = 1_800_000_000_000;

let ann: TestStore;
let bob: TestStore;
let nowMs: number;
beforeEach(() => {
  nowMs = NOW;
  ann = testStore();
  bob = testStore();
});
afterEach(() => {
  ann.close();
  bob.close();
});

const send = (...texts: string[]) =>
  ann.operations['messages.send']({ items: texts.map((text) => ({ peer: 'bob', text })), nowMs: ++nowMs });

/** The encoded Messages that wait for bob, of all chains. */
const waiting = (): Uint8Array[] =>
  ann.operations['messages.pending']({ peer: 'bob' }).flatMap(({ chain, first }) => {
    const page = { chain, after: first - 1, maxBytes: 1 << 20, maxCount: 1_000, skipStored: false };
    return messagesIn(ann.operations['messages.frames'](page).frames);
  });

const receive = (messages: Uint8Array[]) =>
  bob.operations['messages.receive']({ peer: 'ann', messages, viaMailbox: false, nowMs: NOW });

/** Acks reach ann; what came of each. */
function tell(answers: Uint8Array[], opening = false): (AckedBatch | undefined)[] {
  return answers.flatMap((answer) => {
    const { body } = decodeFrame(answer);
    if (body.case !== 'ack') return [];
    const { chain } = body.value;
    return [
      ann.operations['messages.acked']({ peer: 'bob', chain, ranges: ackedRanges(body.value), opening }),
    ];
  });
}

const outcomes = (batches: (AckedBatch | undefined)[]): (string | undefined)[] =>
  batches.map((batch) => batch?.outcome);

const hello = (): Uint8Array[] => bob.operations['messages.acks']({ peer: 'ann', owedOnly: false }).answers;

/** Everything that waits is sent and acknowledged. */
const deliver = (): (string | undefined)[] => outcomes(tell(receive(waiting()).answers));

const states = (): [string, string][] =>
  ann.operations['history.page']({ peer: 'bob', limit: 100 }).map(({ text, state }) => [text, state]);
const arrived = (): string[] =>
  bob.operations['history.page']({ peer: 'ann', limit: 100 }).map(({ text }) => text);

test('an acknowledgement beyond what was written: the chain is left, and what waits goes on in another', () => {
  send('one');
  deliver();
  send('two');
  const old = ann.backup();
  send('three', 'four');
  deliver();
  ann.restore(old);
  const { ids } = send('five');
  const before = waiting().map(decodeMessage);
  const [batch] = tell(hello());
  assert.equal(batch?.outcome, 'forked');
  assert.deepEqual(batch.settled, [{ first: 2, last: 3 }]);
  const after = waiting().map(decodeMessage);
  assert.deepEqual(
    after.map(({ counter }) => counter),
    [1, 2],
  );
  const fixed = ({ id, clockMs, clockCount, sentAtMs, text }: ChatMessage): unknown[] => [
    Buffer.from(id).toString('hex'),
    clockMs,
    clockCount,
    sentAtMs,
    text,
  ];
  assert.deepEqual(after.map(fixed), before.map(fixed));
  assert.equal(Buffer.compare(after[1]!.id, ids), 0);
  assert.notDeepEqual(after[0]!.chain, before[0]!.chain);
  assert.equal(Buffer.compare(after[1]!.previous, messageHash(waiting()[0]!)), 0);
  assert.deepEqual(states(), [
    ['one', 'delivered'],
    ['two', 'queued'],
    ['five', 'queued'],
  ]);

  ann.restart();
  send('six');
  assert.deepEqual(deliver(), ['taken']);
  // 'two' was there before: the same message.
  assert.deepEqual(arrived(), ['one', 'two', 'three', 'four', 'five', 'six']);
  assert.ok(states().every(([, state]) => state === 'delivered'));
  assert.equal(ann.operations['history.summary']().undelivered, 0);
  // What the other end goes on saying of the old chain changes nothing any more.
  assert.deepEqual(outcomes(tell(hello(), true)), ['taken', 'taken']);
  assert.deepEqual(waiting(), []);
});

test('an acknowledgement of another message under the same counter is not believed, within a gap neither', () => {
  send('one');
  deliver();
  const old = ann.backup();
  send('two', 'three');
  for (const held of [() => waiting(), () => waiting().slice(1)]) {
    receive(held());
    const theirs = hello();
    const now = ann.backup();
    ann.restore(old);
    send('other two', 'other three', 'four');
    assert.deepEqual(outcomes(tell(theirs)), ['forked']);
    assert.deepEqual(states().slice(1), [
      ['other two', 'queued'],
      ['other three', 'queued'],
      ['four', 'queued'],
    ]);
    ann.restore(now);
    bob.close();
    bob = testStore();
  }
});

test('an acknowledgement without a hash is believed, up to what was written', () => {
  send('one', 'two');
  const { chain } = decodeMessage(waiting()[0]!);
  const acked = (last: number) =>
    ann.operations['messages.acked']({ peer: 'bob', chain, ...unproved([{ first: 1, last }]) });
  assert.equal(acked(1)?.outcome, 'taken');
  assert.equal(acked(3)?.outcome, 'forked');
  assert.deepEqual(states(), [
    ['one', 'delivered'],
    ['two', 'queued'],
  ]);
});

test('a receipt about another past is passed over', () => {
  send('one');
  const old = ann.backup();
  send('two');
  deliver();
  const { id } = bob.operations['history.page']({ peer: 'ann', limit: 1 })[0]!;
  const [receipt] = bob.operations['history.read']({ peer: 'ann', id })!.receipts;
  ann.restore(old);
  const told = (): unknown => ann.operations['messages.receipt']({ peer: 'bob', ...receipt! });
  assert.equal(told(), undefined);
  send('other two');
  assert.equal(told(), undefined);
  assert.ok(states().every(([, state]) => state === 'queued'));
});

test('what a mailbox kept of the chain that was left is queued again, and told of', () => {
  const { rows } = send('one', 'two');
  const { chain } = ann.operations['messages.pending']({ peer: 'bob' })[0]!;
  ann.operations['messages.stored']({ chain, ranges: [{ first: 1, last: 1 }], nowMs: NOW });
  const old = ann.backup();
  send('three');
  receive(waiting());
  ann.restore(old);
  const [batch] = tell(hello());
  assert.deepEqual([...batch!.rows], [rows[0]]);
  // A deposit that was under way is about the old chain.
  assert.equal(
    ann.operations['messages.stored']({ chain, ranges: [{ first: 1, last: 2 }], nowMs: NOW }).rows.length,
    0,
  );
  assert.deepEqual(
    states().map(([, state]) => state),
    ['queued', 'queued'],
  );
});

test('a conflict comes after the acknowledgement that explains it, and fails nothing', () => {
  send('one');
  const old = ann.backup();
  send('two');
  deliver();
  ann.restore(old);
  send('other two');
  const { answers } = receive(waiting());
  assert.deepEqual(
    answers.map((answer) => decodeFrame(answer).body.case),
    ['ack', 'refusal'],
  );
  assert.deepEqual(outcomes(tell(answers)), ['forked']);
  const { body } = decodeFrame(answers[1]!);
  assert.ok(body.case === 'refusal');
  const refused = { peer: 'bob', chain: body.value.chain, counter: 2, reason: 'conflict' };
  assert.deepEqual(ann.operations['messages.refused'](refused)?.settled, []);
  deliver();
  assert.deepEqual(arrived(), ['one', 'two', 'other two']);
  assert.deepEqual(states(), [
    ['one', 'delivered'],
    ['other two', 'delivered'],
  ]);
});

test('nobody can make us begin chains without end', () => {
  send('one');
  const lie = () => {
    const { chain } = decodeMessage(waiting()[0]!);
    return ann.operations['messages.acked']({ peer: 'bob', chain, ...unproved([{ first: 1, last: 9 }]) });
  };
  for (let count = 1; count < MAX_CHAINS_PER_PEER; count++) assert.equal(lie()?.outcome, 'forked');
  assert.equal(lie()?.outcome, 'impossible');
  assert.deepEqual(states(), [['one', 'queued']]);
  assert.deepEqual(deliver(), ['taken']);
});

test('a recipient that has lost messages is sent them again, and their states stay', () => {
  send('one', 'two', 'three');
  receive(waiting().slice(0, 1));
  const old = bob.backup();
  deliver();
  send('refused');
  const { chain } = decodeMessage(waiting()[0]!);
  ann.operations['messages.refused']({ peer: 'bob', chain, counter: 4, reason: 'too-large' });
  bob.restore(old);
  send('five');
  // Only what comes with the hello says what is not there.
  tell(hello());
  assert.deepEqual(
    waiting()
      .map(decodeMessage)
      .map(({ text }) => text),
    ['five'],
  );
  tell(hello(), true);
  ann.restart();
  assert.deepEqual(
    waiting()
      .map(decodeMessage)
      .map(({ text }) => text),
    ['two', 'three', 'five'],
  );
  assert.deepEqual(states(), [
    ['one', 'delivered'],
    ['two', 'delivered'],
    ['three', 'delivered'],
    ['refused', 'failed'],
    ['five', 'queued'],
  ]);
  const { answers } = receive(waiting());
  const [batch] = tell(answers);
  // The window of the stream is told of all three; people only of what is new.
  assert.deepEqual(batch!.settled, [
    { first: 5, last: 5 },
    { first: 2, last: 3 },
  ]);
  assert.equal(batch!.rows.length, 1);
  assert.deepEqual(arrived(), ['one', 'two', 'three', 'five']);
  assert.deepEqual(waiting(), []);
});

test('an id that was used before is the same message or none', () => {
  const chains = [1, 2, 3].map((byte) => new Uint8Array(8).fill(byte));
  const id = newMessageId(NOW);
  const written = (chain: number, text: string, sentAtMs = NOW): Uint8Array =>
    encodeMessage({
      id,
      chain: chains[chain]!,
      counter: 1,
      previous: new Uint8Array(0),
      clockMs: NOW + chain,
      clockCount: 0,
      sentAtMs,
      text,
    });
  const cases = (answers: Uint8Array[]): unknown[] => answers.map((answer) => decodeFrame(answer).body.case);
  assert.equal(receive([written(0, 'hi')]).rows.length, 1);
  const again = receive([written(1, 'hi'), written(1, 'hi'), written(0, 'hi')]);
  assert.equal(again.rows.length, 0);
  assert.deepEqual(cases(again.answers), ['ack', 'ack']);
  for (const other of [written(2, 'ho'), written(2, 'hi', NOW + 1)]) {
    const batch = receive([other]);
    assert.equal(batch.rows.length, 0);
    assert.deepEqual(cases(batch.answers), ['refusal']);
  }
  assert.deepEqual(arrived(), ['hi']);
  assert.equal(bob.operations['history.unread']({ peer: 'ann' }), 1);
  // Where it was before, it is still known by what it was.
  assert.deepEqual(cases(receive([written(0, 'ho')]).answers), ['ack', 'refusal']);
  // Somebody else may use the id, and hides nothing with it.
  const theirs = bob.operations['messages.receive']({
    peer: 'mallory',
    messages: [written(0, 'mine')],
    viaMailbox: false,
    nowMs: NOW,
  });
  assert.equal(theirs.rows.length, 1);
  const same = bob.operations['history.page']({ peer: 'ann', limit: 1 })[0]!.id;
  assert.equal(bob.operations['history.message']({ id: same })?.peer, 'ann');
  assert.equal(bob.operations['history.read']({ peer: 'mallory', id: same })?.unread, 0);
  assert.equal(bob.operations['history.unread']({ peer: 'ann' }), 1);
});
