import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { encodeMessage } from '../../protocols/chat/message.ts';
import { decodeFrame } from '../../protocols/chat/protocol.ts';
import { openChains } from './chains.ts';
import { heldMessages } from './held.ts';
import { incomingTable } from './incoming.ts';
import { outgoingTable } from './outgoing.ts';
import { peopleTable } from './people.ts';
import { migrate } from './schema.ts';
import { TEST_SEALED } from './store-fixture.ts';
import { boundedStrangers } from './strangers.ts';
import type { StrangerLimits } from './strangers.ts';

const NOW = 1_800_000_000_000;

/** A message that begins a chain; about 1,100 bytes. */
function opening(text = 'x'.repeat(1_000)): Uint8Array {
  return encodeMessage({
    id: randomBytes(16),
    chain: randomBytes(8),
    counter: 1,
    previous: new Uint8Array(0),
    clockMs: NOW,
    clockCount: 0,
    sentAtMs: NOW,
    text,
  });
}

function open(t: TestContext, limits: StrangerLimits) {
  const database = new DatabaseSync(':memory:');
  t.after(() => database.close());
  migrate(database, TEST_SEALED);
  const chains = openChains(database, TEST_SEALED);
  const incoming = incomingTable(database, TEST_SEALED, chains, heldMessages(database, TEST_SEALED));
  const people = peopleTable(database, TEST_SEALED, chains);
  const outgoing = outgoingTable(database, TEST_SEALED, chains);
  const bound = (): ReturnType<typeof boundedStrangers> =>
    boundedStrangers(database, chains, incoming, limits);
  let strangers = bound();
  /** How many of so many messages were kept, and the reasons for the others. */
  const write = (peer: string, count = 1, text?: string): [kept: number, reasons: number[]] => {
    const messages = Array.from({ length: count }, () => opening(text));
    const { rows, answers } = strangers.operations['messages.receive']({
      peer,
      messages,
      viaMailbox: false,
      nowMs: NOW,
    });
    const reasons = answers
      .map((bytes) => decodeFrame(bytes).body)
      .flatMap((body) => (body.case === 'refusal' ? [body.value.reason] : []));
    return [rows.length, reasons];
  };
  return {
    write,
    people,
    outgoing,
    restart: () => {
      strangers = bound();
    },
    rolledBack: () => strangers.rolledBack(),
  };
}

const REFUSED = [0, [Refusal_Reason.STRANGER]] as const;

void test('one stranger can leave so much, and is told so', (t) => {
  const { write, restart, rolledBack } = open(t, { peers: 100, bytes: 10_000, totalBytes: 1e6 });
  assert.deepEqual(write('mallory', 4), [4, []]);
  assert.deepEqual(write('mallory', 2), [0, [Refusal_Reason.STRANGER, Refusal_Reason.STRANGER]]);
  assert.deepEqual(write('somebody'), [1, []]);
  restart();
  assert.deepEqual(write('mallory', 2), [0, [Refusal_Reason.STRANGER, Refusal_Reason.STRANGER]]);
  rolledBack();
  assert.deepEqual(write('mallory', 2), [0, [Refusal_Reason.STRANGER, Refusal_Reason.STRANGER]]);
});

void test('small messages in many chains count for what they cost', (t) => {
  const { write } = open(t, { peers: 100, bytes: 20_000, totalBytes: 1e6 });
  let kept = 0;
  for (let count = 0; count < 60; count++) kept += write('mallory', 1, 'x')[0];
  assert.ok(kept >= 10 && kept < 20, `${kept} were kept`);
});

void test('all strangers together can leave so much, and friends are not concerned', (t) => {
  const { write, people, outgoing } = open(t, { peers: 100, bytes: 10_000, totalBytes: 10_000 });
  people['contacts.add']({ peer: 'friend', petname: null, nowMs: NOW });
  assert.deepEqual(write('friend', 20), [20, []]);
  assert.deepEqual(write('one', 3), [3, []]);
  assert.deepEqual(write('another', 2), [2, []]);
  assert.deepEqual(write('third'), REFUSED);
  assert.deepEqual(write('friend', 20), [20, []]);
  // Who is answered is a stranger no more, and leaves its room to others.
  outgoing['messages.send']({ items: [{ peer: 'one', text: 'hello' }], nowMs: NOW });
  assert.deepEqual(write('one', 20), [20, []]);
  assert.deepEqual(write('third'), [1, []]);
});

void test('there are only so many strangers', (t) => {
  const { write, people } = open(t, { peers: 3, bytes: 1e6, totalBytes: 1e6 });
  for (const peer of ['a', 'b', 'c']) assert.deepEqual(write(peer), [1, []]);
  assert.deepEqual(write('d'), REFUSED);
  assert.deepEqual(write('a'), [1, []]);
  people['contacts.add']({ peer: 'd', petname: null, nowMs: NOW });
  assert.deepEqual(write('d'), [1, []]);
});
