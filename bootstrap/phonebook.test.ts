import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { multiaddr } from '@multiformats/multiaddr';
import { sealCard } from '../protocols/contact-card/card.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { proposeCertificate, verifyCertificate } from '../protocols/phonebook/certificate.ts';
import { DEFAULT_LIFETIME_MS, MAX_LIFETIME_MS } from '../protocols/phonebook/lifetimes.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import { PRESENCE_MS, RENEW_INTERVAL_MS } from '../protocols/phonebook/protocol.ts';
import type { PresenceUpdate } from '../protocols/phonebook/protocol.ts';
import { NAMES_SCHEMA, nameTable } from './name-table.ts';
import type { NameOperations } from './name-table.ts';
import { PHONEBOOK_LIMITS } from './phonebook-limits.ts';
import type { PhonebookLimits } from './phonebook-limits.ts';
import { phonebook } from './phonebook.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const DAY_MS = 24 * 60 * 60 * 1000;
const TEN_YEARS_MS = 3652 * DAY_MS;

/** The store without its thread: what an operation throws, its caller gets. */
function storeOf(operations: NameOperations) {
  const state = { failure: null as Error | null, calls: 0, waiting: 0 };
  return {
    state,
    get waiting(): number {
      return state.waiting;
    },
    async call<Name extends keyof NameOperations>(
      name: Name,
      argument: Parameters<NameOperations[Name]>[0],
    ): Promise<ReturnType<NameOperations[Name]>> {
      state.calls++;
      if (state.failure !== null) throw state.failure;
      return operations[name](argument as never) as ReturnType<NameOperations[Name]>;
    },
  };
}

async function setUp({ limits }: { limits?: Partial<PhonebookLimits> } = {}) {
  const clock = { nowMs: NOW_MS };
  const database = new DatabaseSync(':memory:');
  database.exec(NAMES_SCHEMA);
  const allLimits = { ...PHONEBOOK_LIMITS, ...limits };
  const store = storeOf(nameTable(database, allLimits).operations);
  const privateKey = await generateKeyPair('Ed25519');
  const self = privateKey.publicKey.toString();
  const start = () => phonebook({ store, privateKey, nowMs: () => clock.nowMs, limits: allLimits });
  return { clock, store, self, start, book: start() };
}

async function person() {
  const key = await generateKeyPair('Ed25519');
  const peerId = key.publicKey.toString();
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(key),
    multiaddrs: [multiaddr('/ip4/192.0.2.1/tcp/4001')],
  });
  const peerRecord = (await RecordEnvelope.seal(record, key)).marshal();
  const presence = async (
    timeMs: number,
    changes: Partial<PresenceUpdate> = {},
  ): Promise<PresenceUpdate> => ({
    peerRecord,
    contactCard: await sealCard(key, { peerId, mailboxes: [], seq: 1, expiresMs: timeMs + DAY_MS }),
    listed: true,
    timeMs,
    ...changes,
  });
  return { key, peerId, presence };
}

type Person = Awaited<ReturnType<typeof person>>;
type SetUp = Awaited<ReturnType<typeof setUp>>;

async function propose(
  key: Ed25519PrivateKey,
  { clock, self }: Pick<SetUp, 'clock' | 'self'>,
  changes: Partial<NameCertificate> = {},
): Promise<Uint8Array> {
  const expiresMs = clock.nowMs + DEFAULT_LIFETIME_MS;
  return proposeCertificate(key, { name: 'bob', phonebook: self, seq: 1, expiresMs, ...changes });
}

async function claim(at: SetUp, who: Person, changes: Partial<NameCertificate> = {}) {
  return at.book.decisions.claim(
    who.peerId,
    await propose(who.key, at, changes),
    await who.presence(at.clock.nowMs),
  );
}

async function renew(at: SetUp, who: Person, changes: Partial<PresenceUpdate> = {}) {
  return at.book.decisions.renew(who.peerId, await who.presence(at.clock.nowMs, changes));
}

const ALL = { onlineOnly: false, limit: 100, after: '' };

async function listed(at: SetUp, query = ALL): Promise<(string | null)[]> {
  const answer = await at.book.lookups.list(query);
  assert.ok(answer.status === 'ok');
  return answer.page.entries.map(({ name, peerId }) => name ?? peerId);
}

void test('a name belongs to the first who claims it', async () => {
  const at = await setUp();
  const [bob, eve] = await Promise.all([person(), person()]);
  const claimed = await claim(at, bob);
  assert.ok(claimed.status === 'ok');
  assert.equal(claimed.intervalMs, RENEW_INTERVAL_MS);
  const certificate = await verifyCertificate(claimed.certificate, at.clock);
  assert.deepEqual(
    { name: certificate.name, owner: certificate.owner, phonebook: certificate.phonebook },
    { name: 'bob', owner: bob.peerId, phonebook: at.self },
  );
  assert.deepEqual(await claim(at, eve, { seq: 5 }), { status: 'taken' });
  const resolved = await at.book.decisions.resolve(eve.peerId, { name: 'BOB' });
  assert.ok(resolved.status === 'ok');
  assert.equal(resolved.row.peerId, bob.peerId);
  assert.equal(resolved.row.online, true);
  assert.deepEqual(Buffer.from(resolved.row.certificate!), Buffer.from(claimed.certificate));
});

void test('asking again after a lost answer gets the same certificate', async () => {
  const at = await setUp();
  const bob = await person();
  assert.deepEqual(await claim(at, bob), await claim(at, bob));
});

void test('a certificate is followed by one with a higher seq only', async () => {
  const at = await setUp();
  const bob = await person();
  await claim(at, bob, { seq: 4 });
  assert.deepEqual(await claim(at, bob, { seq: 3 }), { status: 'stale-seq', currentSeq: 4 });
  const longer = { seq: 4, expiresMs: NOW_MS + DAY_MS };
  assert.deepEqual(await claim(at, bob, longer), { status: 'stale-seq', currentSeq: 4 });
  assert.equal((await claim(at, bob, { seq: 5 })).status, 'ok');
});

void test('one name a peer: release it first', async () => {
  const at = await setUp();
  const [bob, eve] = await Promise.all([person(), person()]);
  const { release } = at.book.decisions;
  await claim(at, bob, { seq: 2 });
  assert.deepEqual(await claim(at, bob, { name: 'robert' }), { status: 'has-name', heldName: 'bob' });
  assert.deepEqual(await release(eve.peerId, 'bob', 2), { status: 'not-yours' });
  assert.deepEqual(await release(bob.peerId, 'robert', 1), { status: 'not-found' });
  assert.deepEqual(await release(bob.peerId, 'bob', 1), { status: 'stale-seq', currentSeq: 2 });
  assert.equal((await release(bob.peerId, 'pаypal', 1)).status, 'invalid-name');
  assert.deepEqual(await release(bob.peerId, 'Bob', 2), { status: 'ok' });
  assert.deepEqual(await at.book.lookups.resolve({ name: 'bob' }), { status: 'not-found' });
  assert.equal((await claim(at, bob, { name: 'robert' })).status, 'ok');
  // The old certificate is still about: the new owner's must count higher.
  assert.deepEqual(await claim(at, eve), { status: 'stale-seq', currentSeq: 2 });
  assert.equal((await claim(at, eve, { seq: 3 })).status, 'ok');
  assert.deepEqual(await listed(at), ['bob', 'robert']);
});

void test('a name is free again when its certificate has expired', async () => {
  const at = await setUp();
  const [bob, eve] = await Promise.all([person(), person()]);
  await claim(at, bob);
  at.clock.nowMs += DEFAULT_LIFETIME_MS;
  assert.deepEqual(await at.book.lookups.resolve({ name: 'bob' }), { status: 'not-found' });
  const renewed = await renew(at, bob);
  assert.ok(renewed.status === 'ok');
  assert.equal(renewed.ownName, null);
  assert.equal((await claim(at, eve, { seq: 2 })).status, 'ok');
  assert.equal((await claim(at, bob, { name: 'robert' })).status, 'ok');
  assert.deepEqual(await listed(at), ['bob', 'robert']);
});

void test('renewals carry presence, with a name or without, and survive a restart', async () => {
  const at = await setUp();
  const [bob, anna] = await Promise.all([person(), person()]);
  await claim(at, bob, { seq: 7 });
  const expiresMs = at.clock.nowMs + DEFAULT_LIFETIME_MS;
  at.book = at.start();
  const before = await at.book.lookups.resolve({ name: 'bob' });
  assert.ok(before.status === 'ok');
  assert.equal(before.row.online, false);
  assert.notEqual(before.row.contactCard, null, 'where to leave messages is known all the time');
  assert.deepEqual(await listed(at), []);

  const ownName = { name: 'bob', seq: 7, expiresMs };
  assert.deepEqual(await renew(at, bob), { status: 'ok', intervalMs: RENEW_INTERVAL_MS, ownName });
  assert.deepEqual(await renew(at, anna), { status: 'ok', intervalMs: RENEW_INTERVAL_MS, ownName: null });
  assert.deepEqual(await listed(at), ['bob', anna.peerId]);
  const resolved = await at.book.lookups.resolve({ peerId: anna.peerId });
  assert.ok(resolved.status === 'ok');
  assert.equal(resolved.row.online, true);
  assert.equal(resolved.row.certificate, null);
});

void test('who is silent for 90 s or disconnects is offline, and out of the listing only after 90 s', async () => {
  const at = await setUp();
  const [bob, anna] = await Promise.all([person(), person()]);
  await claim(at, bob);
  await renew(at, anna);
  at.clock.nowMs += 1000;
  at.book.disconnected(anna.peerId);
  assert.deepEqual(await listed(at), ['bob', anna.peerId]);
  assert.deepEqual(await listed(at, { ...ALL, onlineOnly: true }), ['bob']);
  assert.deepEqual(await at.book.counts(), { names: 1, known: 2, online: 1 });
  at.clock.nowMs += PRESENCE_MS - 1001;
  assert.deepEqual(await listed(at), ['bob', anna.peerId]);
  at.clock.nowMs += 1;
  assert.deepEqual(await listed(at), [anna.peerId], 'seen until it disconnected');
  at.clock.nowMs += 1000;
  assert.deepEqual(await listed(at), []);
  for (const [key, lastSeenMs] of [
    [{ name: 'bob' }, NOW_MS],
    [{ peerId: anna.peerId }, NOW_MS + 1000],
  ] as const) {
    const resolved = await at.book.lookups.resolve(key);
    assert.ok(resolved.status === 'ok');
    assert.equal(resolved.row.online, false);
    assert.equal(resolved.row.lastSeenMs, lastSeenMs);
  }
  await renew(at, bob);
  assert.deepEqual(await listed(at), ['bob']);
});

void test('who wants to stay unlisted is found by those who know the name', async () => {
  const at = await setUp();
  const bob = await person();
  await claim(at, bob);
  await renew(at, bob, { listed: false });
  assert.deepEqual(await listed(at), []);
  assert.equal((await at.book.lookups.resolve({ name: 'bob' })).status, 'ok');
  await renew(at, bob);
  assert.deepEqual(await listed(at), ['bob']);
});

void test('pages go on behind the last entry while others come and go', async () => {
  const at = await setUp();
  const names = ['anna', 'bert', 'carl', 'dora', 'emil'];
  const people = new Map<string, Person>();
  for (const name of names) {
    people.set(name, await person());
    await claim(at, people.get(name)!, { name });
  }
  const seen: (string | null)[] = [];
  let after = '';
  for (let page = 0; page < 3; page++) {
    const answer = await at.book.lookups.list({ onlineOnly: false, limit: 2, after });
    assert.ok(answer.status === 'ok');
    seen.push(...answer.page.entries.map(({ name }) => name));
    after = answer.page.next ?? 'end';
    // The last one seen goes, and one comes in front of the next page.
    if (page === 0) await at.book.decisions.release(people.get('bert')!.peerId, 'bert', 1);
  }
  assert.deepEqual(seen.slice(0, 4), ['anna', 'bert', 'carl', 'dora']);
  assert.equal(seen[4], 'emil');
});

void test('a clock ten years off, whoever has it', async () => {
  const at = await setUp();
  const [bob, eve] = await Promise.all([person(), person()]);
  await claim(at, bob);
  for (const offMs of [TEN_YEARS_MS, -TEN_YEARS_MS]) {
    const wrong = at.clock.nowMs + offMs;
    const proposal = await propose(eve.key, at, { name: 'eve', expiresMs: wrong + DEFAULT_LIFETIME_MS });
    const skewed = { status: 'clock-skew', detail: '' };
    assert.deepEqual(await at.book.decisions.claim(eve.peerId, proposal, await eve.presence(wrong)), skewed);
    assert.deepEqual(await at.book.decisions.renew(eve.peerId, await eve.presence(wrong)), skewed);
  }
  // The phonebook's own clock runs away: nobody can take a name with the right time, and nothing is lost.
  const eves = await eve.presence(at.clock.nowMs);
  const proposal = await propose(eve.key, at, { seq: 9 });
  for (const offMs of [TEN_YEARS_MS, -TEN_YEARS_MS]) {
    at.clock.nowMs = NOW_MS + offMs;
    assert.equal((await at.book.decisions.claim(eve.peerId, proposal, eves)).status, 'clock-skew');
  }
  at.clock.nowMs = NOW_MS;
  const resolved = await at.book.lookups.resolve({ name: 'bob' });
  assert.ok(resolved.status === 'ok');
  assert.equal(resolved.row.peerId, bob.peerId);
});

void test('what is not the sender’s own is refused', async () => {
  const at = await setUp();
  const [bob, eve] = await Promise.all([person(), person()]);
  const { decisions } = at.book;
  const [bobs, eves] = await Promise.all([bob.presence(NOW_MS), eve.presence(NOW_MS)]);
  const proposal = await propose(eve.key, at);
  const statusOf = async (bytes: Uint8Array, update: PresenceUpdate): Promise<string> =>
    (await decisions.claim(eve.peerId, bytes, update)).status;
  assert.equal(await statusOf(await propose(bob.key, at), eves), 'bad-certificate');
  assert.equal(
    await statusOf(await propose(eve.key, at, { phonebook: bob.peerId }), eves),
    'bad-certificate',
  );
  assert.equal(await statusOf(await propose(eve.key, at, { expiresMs: NOW_MS }), eves), 'bad-certificate');
  const tooLong = { expiresMs: NOW_MS + MAX_LIFETIME_MS + 2 * DAY_MS };
  assert.equal(await statusOf(await propose(eve.key, at, tooLong), eves), 'bad-certificate');
  assert.equal(await statusOf(Buffer.from('noise'), eves), 'bad-certificate');
  assert.equal(await statusOf(proposal, { ...eves, peerRecord: bobs.peerRecord }), 'bad-peer-record');
  assert.equal(await statusOf(proposal, { ...eves, peerRecord: new Uint8Array() }), 'bad-peer-record');
  assert.equal(await statusOf(proposal, { ...eves, contactCard: bobs.contactCard }), 'bad-contact-card');
  assert.equal(await statusOf(proposal, { ...eves, contactCard: Buffer.from('no') }), 'bad-contact-card');
  assert.deepEqual(await at.book.counts(), { names: 0, known: 0, online: 0 });
  assert.equal(await statusOf(proposal, { ...eves, contactCard: new Uint8Array() }), 'ok');
});

void test('a disk that fails or falls behind is said, and presence goes on', async () => {
  const at = await setUp();
  const bob = await person();
  await claim(at, bob);
  at.store.state.failure = new StoreError('the disk is full', 'disk-full');
  assert.deepEqual(await claim(at, await person(), { name: 'anna' }), { status: 'unavailable' });
  at.clock.nowMs += PRESENCE_MS;
  assert.equal((await renew(at, bob)).status, 'ok');
  at.store.state.failure = null;
  at.store.state.waiting = PHONEBOOK_LIMITS.maxStoreQueue;
  assert.equal((await renew(at, bob)).status, 'unavailable');
});

void test('what has not changed is not written again', async () => {
  const at = await setUp();
  const bob = await person();
  await claim(at, bob);
  const { calls } = at.store.state;
  for (let n = 0; n < 10; n++) await renew(at, bob);
  assert.equal(at.store.state.calls, calls);
});

void test('what was written by a clock years ahead is written again when it is right', async () => {
  const at = await setUp();
  const bob = await person();
  await claim(at, bob);
  at.clock.nowMs += TEN_YEARS_MS;
  at.book.disconnected(bob.peerId);
  at.clock.nowMs = NOW_MS + RENEW_INTERVAL_MS;
  await renew(at, bob);
  const found = await at.store.call('names.get', { name: 'bob', nowMs: at.clock.nowMs });
  assert.equal(found?.lastSeenMs, at.clock.nowMs);
});

void test('each peer has its own rate', async () => {
  const at = await setUp({ limits: { renewalsPerMinute: 2, lookupsPerMinute: 1, claimsPerMinute: 1 } });
  const [bob, anna] = await Promise.all([person(), person()]);
  assert.equal((await renew(at, bob)).status, 'ok');
  assert.equal((await renew(at, bob)).status, 'ok');
  assert.deepEqual(await renew(at, bob), { status: 'rate-limited', retryAfterMs: 30_000 });
  assert.equal((await renew(at, anna)).status, 'ok');
  assert.equal((await claim(at, bob)).status, 'ok');
  assert.equal((await at.book.decisions.release(bob.peerId, 'bob', 1)).status, 'rate-limited');
  assert.equal((await at.book.decisions.list(bob.peerId, ALL)).status, 'ok');
  assert.equal((await at.book.decisions.resolve(bob.peerId, { name: 'bob' })).status, 'rate-limited');
  at.clock.nowMs += 30_000;
  assert.equal((await renew(at, bob)).status, 'ok');
});

void test('memory and disk have an end; the offline and the expired make room', async () => {
  const at = await setUp({ limits: { maxPeers: 2, maxNames: 2 } });
  const [a, b, c] = await Promise.all([person(), person(), person()]);
  await claim(at, a, { name: 'a' });
  await claim(at, b, { name: 'b' });
  assert.equal((await renew(at, c)).status, 'full');
  assert.equal((await claim(at, c, { name: 'c' })).status, 'full');
  at.book.disconnected(a.peerId);
  assert.equal((await renew(at, c)).status, 'ok');
  assert.deepEqual(await listed(at), ['b', c.peerId]);
  at.clock.nowMs += DEFAULT_LIFETIME_MS + DAY_MS;
  assert.equal((await claim(at, c, { name: 'c' })).status, 'ok');
});
