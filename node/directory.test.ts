import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { InvalidMessageError } from '@libp2p/interface';
import { openCard, sealCard } from '../protocols/contact-card/card.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import { directory } from './directory.ts';
import type { Directory, DirectoryInit } from './directory.ts';
import { DAY_MS, fakePhonebook, NOON_MS, person, resolvedPeer } from './phonebook-fixture.ts';
import type { FakePhonebook } from './phonebook-fixture.ts';
import { testStore } from './store/store-fixture.ts';

const { signal } = new AbortController();

async function world(t: TestContext, init: Partial<DirectoryInit> = {}) {
  const store = testStore();
  t.after(() => store.close());
  const [first, second] = await Promise.all([fakePhonebook(), fakePhonebook()]);
  const warnings: string[] = [];
  const start = (): Promise<Directory> =>
    directory({
      store: store.client,
      links: () => [first.link, second.link],
      dht: { lookupName: async () => undefined, lookupCard: async () => undefined },
      nowMs: () => NOON_MS,
      onAddresses: async () => undefined,
      onWarning: (message) => warnings.push(message),
      onKeyChange: (_, message) => warnings.push(message),
      ...init,
    });
  return { first, second, warnings, start };
}

/** Puts a name into a phonebook. */
async function list(phonebook: FakePhonebook, name: string, seq = 1) {
  const owner = await person();
  const named = await phonebook.give(name, owner, seq);
  phonebook.resolved.set(name, await resolvedPeer(owner, { named }));
  return { ...owner, ...named };
}

void test('a petname comes before a peer id, that before a name; a known name is not asked for again', async (t) => {
  const { first, start } = await world(t);
  const people = await start();
  const bob = await list(first, 'bob');
  const ada = await person();
  assert.equal(people.known('bob'), undefined);
  assert.equal(await people.resolve('Bob', { signal }), bob.peerId);
  assert.equal(people.known('bob'), bob.peerId);
  assert.equal(people.nameOf(bob.peerId), 'bob');
  assert.equal(await people.resolve('BOB', { signal }), bob.peerId);
  assert.equal(await people.resolve(ada.peerId, { signal }), ada.peerId);
  await people.addContact(ada.peerId, 'bob');
  assert.equal(await people.resolve('bob', { signal }), ada.peerId);
  assert.equal(people.nameOf(ada.peerId), 'bob');
  assert.equal((await start()).known('bob'), ada.peerId);
  await people.removeContact(ada.peerId);
  assert.equal(await people.resolve('bob', { signal }), bob.peerId);
  assert.deepEqual(first.asked, ['resolve bob']);
});

void test('a name that moved warns, leads to whom it led before, and nothing is sent to it', async (t) => {
  const { first, warnings, start } = await world(t);
  const people = await start();
  const bob = await list(first, 'bob');
  await people.resolve('bob', { signal });
  const eve = await list(first, 'bob', 2);
  const found = await people.lookup('bob', { signal });
  assert.deepEqual([found.peerId, found.blocked], [bob.peerId, true]);
  assert.match(found.warning ?? '', new RegExp(`${bob.peerId}.*${eve.peerId}`));
  assert.equal(warnings.length, 1);
  await people.learn(eve.peerId, { card: new Uint8Array(0), certificate: eve.bytes });
  assert.equal(people.nameOf(eve.peerId), null);
  for (const directory of [people, await start()]) {
    assert.equal(await directory.resolve('bob', { signal }), bob.peerId);
    assert.equal(directory.nameOf(bob.peerId), 'bob');
    await assert.rejects(directory.recipient('bob', { signal }), { code: 'conflict' });
  }
});

void test('phonebooks that contradict each other about a new name: the user has to say who is meant', async (t) => {
  const { first, second, start } = await world(t);
  const people = await start();
  const [one, other] = [await list(first, 'bob'), await list(second, 'bob')];
  await assert.rejects(people.resolve('bob', { signal, field: 'to' }), {
    code: 'conflict',
    field: 'to',
    message: new RegExp(`${one.peerId}.*${other.peerId}`),
  });
  assert.equal(people.known('bob'), undefined);
});

void test('a phonebook that lies is named; the other one is believed', async (t) => {
  const { first, second, warnings, start } = await world(t);
  const people = await start();
  first.before = () => {
    throw new InvalidMessageError('the phonebook answered with somebody else');
  };
  const bob = await list(second, 'bob');
  assert.equal(await people.resolve('bob', { signal }), bob.peerId);
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0]!.includes(first.id));
});

void test('nobody by that name, and nobody who could say, are different answers', async (t) => {
  const { first, second, warnings, start } = await world(t);
  const people = await start();
  const look = (): Promise<string> => people.resolve('zoe', { signal, field: 'to' });
  await assert.rejects(look(), { code: 'not-found', field: 'to', hint: /spelling/ });
  for (const error of [new PhonebookError('rate-limited'), new Error('the stream was reset')]) {
    first.before = () => {
      throw error;
    };
    await assert.rejects(look(), { code: 'unavailable', message: new RegExp(error.message) });
  }
  assert.deepEqual(warnings, [], 'what the network does is no lie');
  for (const { link } of [first, second]) link.status.state = 'down';
  await assert.rejects(look(), { code: 'not-found', hint: /no phonebook is in reach/ });
  for (const rubbish of ['a b', '\u0000', 'x'.repeat(99)])
    await assert.rejects(people.resolve(rubbish, { signal }), { code: 'invalid', field: 'who' });
  await assert.rejects(people.resolve('tincan:rubbish', { signal }), { code: 'invalid', hint: /whole/ });
});

void test('the DHT is believed only about what it was asked', async (t) => {
  const [phonebook, bob] = [await fakePhonebook(), await person()];
  const [asked, another] = [await phonebook.give('bob', bob), await phonebook.give('ada', bob)];
  let record = another;
  const { start } = await world(t, {
    links: () => [phonebook.link],
    dht: { lookupName: async () => record, lookupCard: async () => undefined },
  });
  const people = await start();
  await assert.rejects(people.resolve('bob', { signal }), { code: 'not-found' });
  record = asked;
  const found = await people.lookup('bob', { signal });
  assert.deepEqual([found.peerId, found.source], [bob.peerId, 'dht']);
});

void test('cards lead to mailboxes: a later one replaces an earlier one, an old one never a later one', async (t) => {
  const { first, start } = await world(t);
  const people = await start();
  const bob = await person();
  const [older, newer] = await Promise.all([person(), person()]);
  const card = (seq: number, peerId: string) => ({
    seq,
    mailboxes: [{ peerId, multiaddrs: ['/ip4/192.0.2.9/tcp/1'] }],
  });
  const fallback = await people.mailboxesOf(bob.peerId, { signal });
  assert.equal(fallback[0]?.peerId, first.id);
  assert.deepEqual(fallback[0].multiaddrs, ['/ip4/192.0.2.1/tcp/4001']);
  for (const [seq, mailbox] of [
    [5, newer],
    [4, older],
  ] as const) {
    first.resolved.set(bob.peerId, await resolvedPeer(bob, { card: card(seq, mailbox.peerId) }));
    await people.lookup(bob.peerId, { signal });
    assert.equal((await people.mailboxesOf(bob.peerId, { signal }))[0]?.peerId, newer.peerId);
  }
  // The peer itself may go back, as after a restored backup. What it says of others is passed over.
  const restored = { peerId: bob.peerId, ...card(1, older.peerId), expiresMs: NOON_MS + DAY_MS };
  const bytes = await sealCard(bob.key, restored);
  const none = new Uint8Array(0);
  await people.learn(newer.peerId, { card: bytes, certificate: none });
  await people.learn(bob.peerId, { card: Uint8Array.of(1, 2, 3), certificate: Uint8Array.of(4) });
  assert.equal((await people.mailboxesOf(bob.peerId, { signal }))[0]?.peerId, newer.peerId);
  await people.learn(bob.peerId, { card: bytes, certificate: none });
  await people.addContact(bob.peerId, null);
  for (const directory of [people, await start()])
    assert.equal((await directory.mailboxesOf(bob.peerId, { signal }))[0]?.peerId, older.peerId);
  assert.equal((await openCard(bytes, { nowMs: NOON_MS })).seq, 1);
});

void test('who says that they have no mailbox has none', async (t) => {
  const { first, start } = await world(t);
  const bob = await person();
  first.resolved.set(bob.peerId, await resolvedPeer(bob, { card: { seq: 1, mailboxes: [] } }));
  assert.deepEqual(await (await start()).mailboxesOf(bob.peerId, { signal }), []);
});

void test('a certificate of a phonebook we have not chosen proves nothing here', async (t) => {
  const { start } = await world(t);
  const people = await start();
  const [bob, foreign] = [await person(), await fakePhonebook()];
  const { bytes } = await foreign.give('bob', bob);
  await people.learn(bob.peerId, { card: new Uint8Array(0), certificate: bytes });
  assert.equal(people.nameOf(bob.peerId), null);
});

void test('petnames that could be taken for something else are refused', async (t) => {
  const { start } = await world(t);
  const people = await start();
  const [ada, bob] = [await person(), await person()];
  for (const petname of ['', ' ', 'a\u001B[2J', bob.peerId, `tincan:${bob.peerId}`])
    await assert.rejects(people.addContact(ada.peerId, petname), { code: 'invalid', field: 'petname' });
  await people.addContact(ada.peerId, 'best friend');
  await assert.rejects(people.addContact(bob.peerId, 'best friend'), { code: 'conflict', field: 'petname' });
  await assert.rejects(people.removeContact(bob.peerId), { code: 'not-found' });
});
