import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { decodeMessage } from '../../protocols/chat/message.ts';
import { decodeFrame } from '../../protocols/chat/protocol.ts';
import type { ReceivedBatch } from './incoming.ts';
import { REQUEST_LIMITS } from './requests.ts';
import { DECLINED_FOR_MS } from './standings.ts';
import { messagesIn, testStore } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW = 1_800_000_000_000;
const hashOf = (text: string): Uint8Array => createHash('sha256').update(text).digest();

/** What a frame is, and of a refusal whether it is because nobody knows who writes. */
const kinds = (frames: readonly Uint8Array[]): unknown[] =>
  frames.map((bytes) => {
    const { body } = decodeFrame(bytes);
    if (body.case !== 'refusal') return body.case;
    return body.value.reason === Refusal_Reason.STRANGER ? 'STRANGER' : body.value.reason;
  });

function open(t: TestContext) {
  const ben = testStore(':memory:', { strangers: true });
  t.after(() => ben.close());
  const authors = new Map<string, TestStore>();
  /** Encoded messages of somebody, each following the one before. */
  const write = (author: string, ...texts: string[]): Uint8Array[] => {
    let store = authors.get(author);
    if (store === undefined) {
      store = testStore();
      authors.set(author, store);
      const { close } = store;
      t.after(close);
    }
    const items = texts.map((text) => ({ peer: 'ben', text }));
    return messagesIn(store.operations['messages.send']({ items, nowMs: NOW }).frames);
  };
  const receive = (
    peer: string,
    messages: readonly Uint8Array[],
    { nowMs = NOW, viaMailbox = false } = {},
  ): ReceivedBatch => ben.operations['messages.receive']({ peer, messages, viaMailbox, nowMs });
  const requests = (): string[] =>
    ben.operations['requests.list']().map(({ peer, text }) => `${peer}: ${text}`);
  const inbox = (): string[] =>
    ben.operations['history.inbox']({ after: 0, unread: true, limit: 100 }).map(({ text }) => text);
  return { ben, write, receive, requests, inbox };
}

void test('the first message of a stranger is a request, and those behind it stay with their author', (t) => {
  const { ben, write, receive, requests, inbox } = open(t);
  const [first, second] = write('ada', 'hello', 'are you there?');
  const batch = receive('ada', [first!, second!]);
  assert.deepEqual(kinds(batch.answers), ['ack', 'pending']);
  assert.equal(batch.requested, true);
  assert.equal(batch.rows.length, 0);
  const again = receive('ada', [first!]);
  assert.deepEqual(kinds(again.answers), ['ack', 'pending']);
  assert.equal(again.requested, false);
  assert.deepEqual(kinds(receive('ada', [second!]).answers), ['pending']);
  assert.deepEqual(requests(), ['ada: hello']);
  assert.deepEqual(inbox(), []);
  assert.equal(ben.operations['history.summary']().unread, 0);
  ben.restart();
  assert.deepEqual(requests(), ['ada: hello']);
  const held = ben.operations['messages.acks']({ peer: 'ada', owedOnly: false });
  assert.deepEqual(kinds(held.answers), ['ack', 'pending']);
});

void test('accepting makes a contact and a message, and what was held back comes in its turn', (t) => {
  const { ben, write, receive, requests, inbox } = open(t);
  const [first, second] = write('ada', 'hello', 'are you there?');
  receive('ada', [first!]);
  const accepted = ben.operations['requests.accept']({ peer: 'ada', petname: 'Ada', nowMs: NOW });
  assert.equal(accepted.outcome, 'accepted');
  assert.equal(decodeMessage(accepted.message!).text, 'hello');
  assert.equal(accepted.batch!.rows.length, 1);
  assert.deepEqual(requests(), []);
  assert.deepEqual(kinds(receive('ada', [first!, second!]).answers), ['ack']);
  assert.deepEqual(inbox(), ['hello', 'are you there?']);
  assert.deepEqual(
    ben.operations['contacts.list']().map(({ peer, petname, unread }) => [peer, petname, unread]),
    [['ada', 'Ada', 2]],
  );
});

void test('a petname that another contact has leaves the request where it is', (t) => {
  const { ben, write, receive, requests } = open(t);
  ben.operations['contacts.add']({ peer: 'cleo', petname: 'Ada', nowMs: NOW });
  receive('ada', write('ada', 'hello'));
  assert.deepEqual(ben.operations['requests.accept']({ peer: 'ada', petname: 'Ada', nowMs: NOW }), {
    outcome: 'petname-taken',
  });
  assert.deepEqual(requests(), ['ada: hello']);
});

void test('whoever had written before there were requests counts as accepted', (t) => {
  const { ben, write, receive, requests, inbox } = open(t);
  const [first, second] = write('ada', 'hello', 'are you there?');
  receive('ada', [first!]);
  ben.operations['requests.accept']({ peer: 'ada', petname: null, nowMs: NOW });
  ben.operations['contacts.remove']({ peer: 'ada' });
  // What is left is what there was before: messages, and no contact.
  ben.restart();
  receive('ada', [second!]);
  assert.deepEqual(inbox(), ['hello', 'are you there?']);
  assert.deepEqual(requests(), []);
  const [third] = write('cleo', 'hi');
  ben.operations['messages.send']({ items: [{ peer: 'cleo', text: 'hi' }], nowMs: NOW });
  receive('cleo', [third!]);
  assert.deepEqual(requests(), []);
});

void test('a long first message is refused, and the next one asks', (t) => {
  const { write, receive, requests } = open(t);
  const [long, short] = write('ada', 'é'.repeat(513), 'sorry');
  assert.deepEqual(kinds(receive('ada', [long!]).answers), ['STRANGER']);
  assert.deepEqual(requests(), []);
  assert.deepEqual(kinds(receive('ada', [long!, short!]).answers), ['ack', 'STRANGER', 'pending']);
  assert.deepEqual(requests(), ['ada: sorry']);
  const [longest] = write('cleo', 'x'.repeat(1024));
  assert.deepEqual(kinds(receive('cleo', [longest!]).answers), ['ack', 'pending']);
});

void test('so many requests wait, and who comes later is let in when one is decided', (t) => {
  const { ben, write, receive, requests } = open(t);
  for (let number = 0; number < REQUEST_LIMITS.pending; number++)
    receive(`stranger ${number}`, write(`stranger ${number}`, 'hello'));
  const late = write('ada', 'hello');
  assert.deepEqual(kinds(receive('ada', late).answers), ['pending']);
  assert.equal(requests().length, REQUEST_LIMITS.pending);
  assert.equal(ben.database.prepare('SELECT count(*) AS n FROM peers').get()!['n'], REQUEST_LIMITS.pending);
  ben.operations['requests.decline']({ peer: 'stranger 3', nowMs: NOW });
  assert.deepEqual(kinds(receive('ada', late).answers), ['ack', 'pending']);
});

void test('who was declined is told nothing of it, and can ask again after 30 days', (t) => {
  const { ben, write, receive, requests } = open(t);
  const [first, second] = write('ada', 'hello', 'please');
  receive('ada', [first!]);
  assert.equal(ben.operations['requests.decline']({ peer: 'ada', nowMs: NOW }), true);
  assert.equal(ben.operations['requests.decline']({ peer: 'ada', nowMs: NOW }), false);
  const later = { nowMs: NOW + DECLINED_FOR_MS - 1 };
  assert.deepEqual(kinds(receive('ada', [second!], later).answers), ['pending']);
  assert.deepEqual(requests(), []);
  ben.restart();
  assert.deepEqual(kinds(receive('ada', [second!], later).answers), ['pending']);
  receive('ada', [second!], { nowMs: NOW + DECLINED_FOR_MS });
  assert.deepEqual(requests(), ['ada: please']);
});

void test('who was declined is answered, byte for byte, as who still waits', (t) => {
  for (const viaMailbox of [false, true]) {
    const one = open(t);
    const other = open(t);
    const [first, second, long] = one.write('ada', 'hello', 'please', 'x'.repeat(2048));
    one.receive('ada', [first!], { viaMailbox });
    other.receive('ada', [first!], { viaMailbox });
    other.ben.operations['requests.decline']({ peer: 'ada', nowMs: NOW });
    assert.deepEqual(other.requests(), []);
    other.ben.restart();
    const stores = [one, other];
    const same = (what: string, ask: (store: typeof one) => unknown): void => {
      const [waits, declined] = stores.map(ask);
      assert.deepEqual(declined, waits, what);
    };
    const acks = (owedOnly: boolean) => {
      same(`the answer to a hello, owed alone: ${owedOnly}`, ({ ben }) =>
        ben.operations['messages.acks']({ peer: 'ada', owedOnly }),
      );
    };
    assert.deepEqual(kinds(other.ben.operations['messages.acks']({ peer: 'ada', owedOnly: false }).answers), [
      'ack',
      'pending',
    ]);
    acks(false);
    acks(true);
    same('who is called', ({ ben }) => ben.operations['messages.waiting-peers']());
    for (const messages of [[first!], [second!], [second!, first!], [long!], [Buffer.of(8)]])
      same('the answer to messages', ({ receive }) => receive('ada', messages));
    same('what a mailbox brings', ({ receive }) => receive('ada', [first!, second!], { viaMailbox: true }));
    same('who is called then', ({ ben }) => ben.operations['messages.waiting-peers']());
    acks(true);
    for (const { ben } of stores) {
      const owed = ben.operations['messages.acks']({ peer: 'ada', owedOnly: true });
      assert.equal(owed.answers.length, 2);
      ben.operations['messages.acks-paid']({ peer: 'ada', ...owed });
      ben.restart();
    }
    acks(true);
    acks(false);
    same('who is called at last', ({ ben }) => ben.operations['messages.waiting-peers']());
    assert.deepEqual(other.requests(), []);
    assert.doesNotMatch(JSON.stringify(other.ben.operations['standings.list']()), /hello/);
  }
});

void test('of who is blocked nothing is taken and nothing is said, and the history stays', (t) => {
  const { ben, write, receive, requests, inbox } = open(t);
  const [first, second] = write('ada', 'hello', 'please');
  ben.operations['contacts.add']({ peer: 'ada', petname: null, nowMs: NOW });
  receive('ada', [first!]);
  ben.operations['messages.send']({ items: [{ peer: 'ada', text: 'go away' }], nowMs: NOW });
  ben.operations['standings.block']({ peer: 'ada', nowMs: NOW });
  ben.restart();
  assert.deepEqual(receive('ada', [second!]).answers, []);
  assert.deepEqual(ben.operations['messages.acks']({ peer: 'ada', owedOnly: false }).answers, []);
  assert.deepEqual(ben.operations['messages.pending']({ peer: 'ada' }), []);
  assert.deepEqual(ben.operations['messages.waiting-peers'](), []);
  assert.deepEqual(inbox(), ['hello']);
  assert.deepEqual(requests(), []);
  assert.equal(ben.operations['standings.unblock']({ peer: 'ada', nowMs: NOW }), true);
  assert.equal(ben.operations['standings.unblock']({ peer: 'ada', nowMs: NOW }), false);
  receive('ada', [second!]);
  assert.deepEqual(inbox(), ['hello', 'please']);
  assert.deepEqual(ben.operations['messages.waiting-peers'](), ['ada']);
});

void test('a block of somebody unknown takes their request along, and is told until every mailbox has it', (t) => {
  const { ben, write, receive, requests } = open(t);
  receive('ada', write('ada', 'hello'));
  ben.operations['standings.block']({ peer: 'ada', nowMs: NOW });
  assert.deepEqual(requests(), []);
  for (const mailbox of ['one', 'two', 'one'])
    ben.operations['standings.mailbox']({ peer: 'ada', mailbox, holds: true });
  ben.operations['standings.unblock']({ peer: 'ada', nowMs: NOW });
  ben.operations['standings.mailbox']({ peer: 'ada', mailbox: 'one', holds: false });
  ben.restart();
  assert.deepEqual(ben.operations['standings.list'](), [
    { peer: 'ada', standing: { decision: { kind: 'unblocked', sinceMs: NOW }, mailboxes: ['two'] } },
  ]);
  ben.operations['standings.mailbox']({ peer: 'ada', mailbox: 'two', holds: false });
  assert.deepEqual(ben.operations['standings.list'](), []);
});

void test('an answer to a request that came through a mailbox is owed until it is given', (t) => {
  const { ben, write, receive } = open(t);
  receive('ada', write('ada', 'hello'), { viaMailbox: true });
  assert.deepEqual(ben.operations['messages.waiting-peers'](), ['ada']);
  const owed = ben.operations['messages.acks']({ peer: 'ada', owedOnly: true });
  assert.deepEqual(kinds(owed.answers), ['ack', 'pending']);
  ben.operations['messages.acks-paid']({ peer: 'ada', ...owed });
  assert.deepEqual(ben.operations['messages.acks']({ peer: 'ada', owedOnly: true }).answers, []);
  assert.deepEqual(ben.operations['messages.waiting-peers'](), []);
});

void test('a right to deposit and a token are owed until they are given, and said at each greeting', (t) => {
  const { ben } = open(t);
  ben.operations['contacts.add']({ peer: 'ada', petname: null, nowMs: NOW });
  ben.operations['standings.give']({ peer: 'ada', capability: new Uint8Array(8), issuedMs: NOW });
  ben.operations['standings.show-token']({ peer: 'ada', token: 'a-token' });
  const owed = ben.operations['messages.acks']({ peer: 'ada', owedOnly: true });
  assert.deepEqual(kinds(owed.answers), ['inviteToken', 'depositCapability']);
  assert.deepEqual(ben.operations['messages.waiting-peers'](), ['ada']);
  // Another came meanwhile: that one is still owed.
  ben.operations['standings.give']({ peer: 'ada', capability: new Uint8Array(9), issuedMs: NOW + 1 });
  ben.operations['messages.acks-paid']({ peer: 'ada', ...owed });
  const still = ben.operations['messages.acks']({ peer: 'ada', owedOnly: true });
  assert.equal(still.answers.length, 2);
  ben.operations['messages.acks-paid']({ peer: 'ada', ...still });
  ben.restart();
  assert.deepEqual(ben.operations['messages.acks']({ peer: 'ada', owedOnly: true }).answers, []);
  const greeting = ben.operations['messages.acks']({ peer: 'ada', owedOnly: false });
  assert.deepEqual(kinds(greeting.answers), ['inviteToken', 'depositCapability']);
  // Who gives us a right in return has taken the token.
  assert.equal(ben.operations['standings.keep']({ peer: 'ada', capability: new Uint8Array(7) }), true);
  assert.deepEqual(kinds(ben.operations['messages.acks']({ peer: 'ada', owedOnly: false }).answers), [
    'depositCapability',
  ]);
});

void test('what waits for the person at the other end is not sent', (t) => {
  const { ben } = open(t);
  ben.operations['messages.send']({ items: [{ peer: 'ada', text: 'hello' }], nowMs: NOW });
  ben.operations['standings.waits']({ peer: 'ada', sinceMs: NOW });
  assert.deepEqual(ben.operations['messages.pending']({ peer: 'ada' }), []);
  ben.operations['standings.keep']({ peer: 'ada', capability: new Uint8Array(7) });
  assert.equal(ben.operations['messages.pending']({ peer: 'ada' }).length, 1);
});

void test('nothing is kept of strangers who hand over rights or say that we wait', (t) => {
  const { ben } = open(t);
  assert.equal(ben.operations['standings.keep']({ peer: 'ada', capability: new Uint8Array(7) }), false);
  ben.operations['standings.waits']({ peer: 'ada', sinceMs: NOW });
  assert.deepEqual(ben.operations['standings.list'](), []);
  assert.equal(ben.database.prepare('SELECT count(*) AS n FROM peers').get()!['n'], 0);
});

void test('a token makes a contact of whoever shows it first', (t) => {
  const { ben, write, receive, inbox, requests } = open(t);
  const hash = hashOf('token');
  const made = { hash, reusable: false, expiresMs: NOW + 1_000, nowMs: NOW };
  assert.equal(ben.operations['invites.add'](made), 1);
  assert.equal(
    ben.operations['invites.use']({ hash: hashOf('other'), peer: 'ada', nowMs: NOW }).outcome,
    'void',
  );
  receive('ada', write('ada', 'hello'));
  const used = ben.operations['invites.use']({ hash, peer: 'ada', nowMs: NOW });
  assert.equal(used.outcome, 'accepted');
  // What was a request before the token came is a message now.
  assert.deepEqual(inbox(), ['hello']);
  assert.deepEqual(requests(), []);
  assert.equal(ben.operations['invites.use']({ hash, peer: 'ada', nowMs: NOW }).outcome, 'known');
  assert.equal(ben.operations['invites.use']({ hash, peer: 'cleo', nowMs: NOW }).outcome, 'void');
  assert.deepEqual(ben.operations['invites.list']({ nowMs: NOW }), []);
});

void test('tokens are reusable, revoked and expired', (t) => {
  const { ben } = open(t);
  const add = (token: string, reusable: boolean): number =>
    ben.operations['invites.add']({ hash: hashOf(token), reusable, expiresMs: NOW + 1_000, nowMs: NOW })!;
  const use = (token: string, peer: string, nowMs = NOW): string =>
    ben.operations['invites.use']({ hash: hashOf(token), peer, nowMs }).outcome;
  const party = add('party', true);
  assert.equal(use('party', 'ada'), 'accepted');
  assert.equal(use('party', 'cleo'), 'accepted');
  assert.deepEqual(
    ben.operations['invites.list']({ nowMs: NOW }).map(({ id, uses }) => [id, uses]),
    [[party, 2]],
  );
  assert.equal(ben.operations['invites.revoke']({ id: party }), true);
  assert.equal(ben.operations['invites.revoke']({ id: party }), false);
  assert.equal(use('party', 'dora'), 'void');
  add('late', false);
  assert.equal(use('late', 'dora', NOW + 1_000), 'void');
  ben.operations['standings.block']({ peer: 'eve', nowMs: NOW });
  add('eve', false);
  assert.equal(use('eve', 'eve'), 'void');
});
