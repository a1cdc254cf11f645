import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { directory } from './directory.ts';
import type { Directory } from './directory.ts';
import { fakePhonebook, NOON_MS, person, resolvedPeer } from './phonebook-fixture.ts';
import type { FakePhonebook, Person } from './phonebook-fixture.ts';
import type { KeyChange } from './pinned-names.ts';
import { testStore } from './store/store-fixture.ts';

const { signal } = new AbortController();
const NONE = new Uint8Array(0);

/** Ada, two phonebooks of her choice, and one that is none of hers. */
async function world(t: TestContext) {
  const store = testStore();
  t.after(() => store.close());
  const [first, second, foreign] = await Promise.all([fakePhonebook(), fakePhonebook(), fakePhonebook()]);
  const warnings: string[] = [];
  const changes: KeyChange[] = [];
  const dht = new Map<string, Awaited<ReturnType<FakePhonebook['give']>>>();
  const start = (): Promise<Directory> =>
    directory({
      store: store.client,
      links: () => [first.link, second.link],
      dht: { lookupName: async (phonebook) => dht.get(phonebook), lookupCard: async () => undefined },
      nowMs: () => NOON_MS,
      onAddresses: async () => undefined,
      onWarning: (message) => warnings.push(message),
      onKeyChange: (change) => changes.push(change),
    });
  return { first, second, foreign, warnings, changes, dht, start, people: await start() };
}

async function list(phonebook: FakePhonebook, name: string, owner: Person, seq: number) {
  const named = await phonebook.give(name, owner, seq);
  const row = await resolvedPeer(owner, { named });
  phonebook.resolved.set(name, row).set(owner.peerId, row);
  return named;
}

/** Nothing that is shown or sent has to do with the key of the lie. */
async function assertStill(people: Directory, name: string, owner: string, liar: string): Promise<void> {
  assert.equal(await people.resolve(name, { signal }), owner);
  assert.equal(people.known(name), owner);
  assert.equal(people.nameOf(owner), name);
  assert.equal(people.nameOf(liar), null);
  assert.equal((await people.lookup(name, { signal })).peerId, owner);
  const other = await people.lookup(liar, { signal });
  assert.notEqual(other.name, name);
}

void test('a name given to another key: nothing is sent to it, in whatever form, also after a restart', async (t) => {
  const { first, changes, start, people } = await world(t);
  const [bob, eve] = await Promise.all([person(), person()]);
  await list(first, 'bob', bob, 1);
  await people.resolve('bob', { signal });
  await list(first, 'bob', eve, 2);
  const found = await people.lookup('bob', { signal });
  assert.deepEqual([found.peerId, found.blocked, found.name], [bob.peerId, true, 'bob']);
  assert.deepEqual(
    [found.change?.known, found.change?.claimed, found.change?.phonebook],
    [bob.peerId, eve.peerId, first.id],
  );
  for (const each of [people, await start()]) {
    for (const written of ['bob', 'Bob', 'BOB']) {
      assert.equal(each.isBlocked(written), true);
      assert.equal(each.knownRecipient(written), undefined);
      await assert.rejects(each.recipient(written, { signal, field: 'to' }), {
        code: 'conflict',
        field: 'to',
        message: new RegExp(`${bob.peerId}.*${eve.peerId}`),
        hint: /tincan trust bob/,
      });
    }
    assert.equal(await each.recipient(bob.peerId, { signal }), bob.peerId);
    await assertStill(each, 'bob', bob.peerId, eve.peerId);
  }
  // Told once, however often it is looked at.
  assert.equal(changes.length, 1);
  await people.addContact(bob.peerId, 'my bob');
  assert.equal(await people.recipient('my bob', { signal }), bob.peerId);
  assert.equal(people.isBlocked('my bob'), false);
  const byPetname = await people.lookup('my bob', { signal });
  assert.deepEqual([byPetname.blocked, byPetname.change?.claimed], [false, eve.peerId]);
});

void test('kept: the name is as before, and the same lie asks nothing more; another one does', async (t) => {
  const { first, start, people } = await world(t);
  const [bob, eve, mallory] = await Promise.all([person(), person(), person()]);
  await list(first, 'bob', bob, 1);
  await people.resolve('bob', { signal });
  await people.setVerified(bob.peerId, true);
  await list(first, 'bob', eve, 2);
  await people.lookup('bob', { signal });
  await people.decide(people.changeOf('bob')!, 'keep');
  await list(first, 'bob', eve, 3);
  for (const each of [people, await start()]) {
    const found = await each.lookup('bob', { signal });
    assert.deepEqual([found.peerId, found.blocked, found.change], [bob.peerId, false, null]);
    assert.match(found.warning ?? '', /as you decided/);
    assert.equal(await each.recipient('bob', { signal }), bob.peerId);
    assert.equal(each.verifiedMs(bob.peerId), NOON_MS);
    await assertStill(each, 'bob', bob.peerId, eve.peerId);
  }
  await list(first, 'bob', mallory, 4);
  assert.equal((await people.lookup('bob', { signal })).change?.claimed, mallory.peerId);
});

void test('accepted: the name and the contact go to the new key, without the mark; the old key asks no more', async (t) => {
  const { first, second, start, people } = await world(t);
  const [bob, anew] = await Promise.all([person(), person()]);
  const old = await list(first, 'bob', bob, 5);
  await people.resolve('bob', { signal });
  await people.addContact(bob.peerId, 'robert');
  await people.setVerified(bob.peerId, true);
  // Another phonebook, which counts for itself: the old certificate has the higher number.
  first.resolved.clear();
  await list(second, 'bob', anew, 1);
  await people.lookup('bob', { signal });
  await people.decide(people.changeOf('bob')!, 'accept');
  for (const each of [people, await start()]) {
    await each.learn(bob.peerId, { card: NONE, certificate: old.bytes });
    assert.deepEqual(each.changes, []);
    for (const name of ['bob', 'robert']) assert.equal(await each.recipient(name, { signal }), anew.peerId);
    assert.equal(each.nameOf(anew.peerId), 'robert');
    assert.equal(each.nameOf(bob.peerId), null);
    assert.deepEqual([each.verifiedMs(bob.peerId), each.verifiedMs(anew.peerId)], [null, null]);
    assert.deepEqual(
      each.contacts.map(({ peer, petname }) => [peer, petname]),
      [[anew.peerId, 'robert']],
    );
  }
});

void test('the first change counts until it is decided: what is accepted is what was shown', async (t) => {
  const { first, people } = await world(t);
  const [bob, eve, mallory] = await Promise.all([person(), person(), person()]);
  await list(first, 'bob', bob, 1);
  await people.resolve('bob', { signal });
  for (const [owner, seq] of [
    [eve, 2],
    [mallory, 3],
  ] as const) {
    await list(first, 'bob', owner, seq);
    await people.lookup('bob', { signal });
  }
  assert.deepEqual(
    people.changes.map(({ claimed }) => claimed),
    [eve.peerId],
  );
  const change = people.changeOf('bob')!;
  const decisions = await Promise.allSettled([
    people.decide(change, 'keep'),
    people.decide(change, 'accept'),
  ]);
  assert.deepEqual(
    decisions.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  assert.equal(people.known('bob'), bob.peerId);
});

void test('a certificate that comes with a hello puts the name in question just as well', async (t) => {
  const { first, changes, people } = await world(t);
  const [bob, eve] = await Promise.all([person(), person()]);
  await list(first, 'bob', bob, 1);
  await people.resolve('bob', { signal });
  const { bytes } = await first.give('bob', eve, 2);
  await people.learn(eve.peerId, { card: NONE, certificate: bytes });
  assert.deepEqual(
    changes.map(({ known, claimed }) => [known, claimed]),
    [[bob.peerId, eve.peerId]],
  );
  assert.equal(people.isBlocked('bob'), true);
  await assertStill(people, 'bob', bob.peerId, eve.peerId);
});

void test('an old certificate, replayed: it is passed over, with a word where somebody asked', async (t) => {
  const { first, changes, warnings, dht, people } = await world(t);
  const [bob, before] = await Promise.all([person(), person()]);
  await list(first, 'bob', bob, 5);
  await people.resolve('bob', { signal });
  const old = await list(first, 'bob', before, 4);
  const found = await people.lookup('bob', { signal });
  assert.deepEqual([found.peerId, found.blocked], [bob.peerId, false]);
  assert.match(found.warning ?? '', new RegExp(`${before.peerId}, older`));
  await people.learn(before.peerId, { card: NONE, certificate: old.bytes });
  // The same from the DHT, while no phonebook answers.
  first.resolved.clear();
  dht.set(first.id, old);
  assert.match((await people.lookup('bob', { signal })).warning ?? '', /older/);
  await assertStill(people, 'bob', bob.peerId, before.peerId);
  assert.equal(await people.recipient('bob', { signal }), bob.peerId);
  assert.deepEqual([changes, warnings], [[], []]);
});

void test('two certificates with one number: the first counts, and the phonebook is named', async (t) => {
  const { first, changes, warnings, people } = await world(t);
  const [bob, eve] = await Promise.all([person(), person()]);
  await list(first, 'bob', bob, 5);
  await people.resolve('bob', { signal });
  const twin = await list(first, 'bob', eve, 5);
  await people.lookup('bob', { signal });
  await people.learn(eve.peerId, { card: NONE, certificate: twin.bytes });
  await assertStill(people, 'bob', bob.peerId, eve.peerId);
  assert.match(warnings[0] ?? '', new RegExp(`${first.id}.*lies`));
  assert.deepEqual(changes, []);
});

void test('a certificate of another phonebook, handed over or in the DHT, names nobody', async (t) => {
  const { first, foreign, changes, warnings, dht, people } = await world(t);
  const [bob, eve] = await Promise.all([person(), person()]);
  await list(first, 'bob', bob, 1);
  await people.resolve('bob', { signal });
  const strange = await foreign.give('bob', eve, 9);
  await people.learn(eve.peerId, { card: NONE, certificate: strange.bytes });
  first.resolved.clear();
  dht.set(first.id, strange);
  await assertStill(people, 'bob', bob.peerId, eve.peerId);
  assert.equal(people.isBlocked('bob'), false);
  assert.deepEqual([changes, warnings], [[], []]);
});

void test('somebody with the papers of another is nobody', async (t) => {
  const { first, people } = await world(t);
  const [bob, eve] = await Promise.all([person(), person()]);
  const { bytes } = await first.give('bob', bob, 1);
  const { contactCardBytes } = await resolvedPeer(bob, {
    card: { seq: 1, mailboxes: [{ peerId: eve.peerId, multiaddrs: ['/ip4/192.0.2.66/tcp/1'] }] },
  });
  await people.learn(eve.peerId, { card: contactCardBytes!, certificate: bytes });
  assert.equal(people.nameOf(eve.peerId), null);
  assert.equal(people.known('bob'), undefined);
  const mailboxes = await people.mailboxesOf(eve.peerId, { signal });
  assert.ok(mailboxes.every(({ peerId }) => peerId !== eve.peerId));
});

void test('a name that reads like the petname of a contact is not shown for somebody else', async (t) => {
  const { first, people } = await world(t);
  const [mum, eve] = await Promise.all([person(), person()]);
  await people.addContact(mum.peerId, 'Mum');
  const { bytes } = await first.give('mum', eve, 1);
  await people.learn(eve.peerId, { card: NONE, certificate: bytes });
  assert.equal(people.nameOf(eve.peerId), null);
  assert.equal(people.certifiedName(eve.peerId), null);
  assert.equal(people.nameOf(mum.peerId), 'Mum');
  assert.equal(await people.recipient('Mum', { signal }), mum.peerId);
});

void test('of phonebooks that contradict each other about a new name, neither is followed', async (t) => {
  const { first, second, people } = await world(t);
  const [one, other] = await Promise.all([person(), person()]);
  await list(first, 'bob', one, 1);
  await list(second, 'bob', other, 1);
  const found = await people.lookup('bob', { signal });
  assert.deepEqual([found.blocked, found.name], [true, null]);
  assert.match(found.warning ?? '', new RegExp(`${one.peerId}.*${other.peerId}`));
  await assert.rejects(people.recipient('bob', { signal }), { code: 'conflict' });
});
