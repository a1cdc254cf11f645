import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openNodeStore } from './file.ts';
import { nodeStore } from './operations.ts';
import { SESSION_LIMITS } from './sessions.ts';
import { testStore, TEST_DATA_KEY, TEST_SEALED } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW_MS = 1_800_000_000_000;

let store: TestStore;
beforeEach(() => {
  store = testStore();
});
afterEach(() => store.close());

const idOf = (n: number): Uint8Array => Uint8Array.from(Buffer.alloc(16, `session ${n} `));
const state = Uint8Array.of(1, 2, 3);

const befriend = (peer: string): void => {
  store.operations['contacts.add']({ peer, petname: null, nowMs: NOW_MS });
};

/** Blobs of sessions came, and nothing was in them. */
const took = (
  peer: string,
  numbers: readonly number[],
  usedPrekeys: Uint8Array[] = [],
  operations = store.operations,
): void => {
  operations['sessions.take']({
    peer,
    messages: [],
    sessions: numbers.map((n) => ({ id: idOf(n), prekeyId: idOf(0), state, takenMs: NOW_MS + n })),
    usedPrekeys,
    nowMs: NOW_MS,
  });
};

const held = (numbers: readonly number[]): number[] => {
  const states = store.operations['sessions.incoming']({ ids: numbers.map(idOf) });
  return numbers.filter((_, index) => states[index] !== undefined);
};

const counted = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, n) => first + n);

void test('what a known peer can make this node keep is bounded; the sessions used longest ago go', () => {
  befriend('ben');
  took('ben', counted(0, SESSION_LIMITS.perPeer + 3));
  assert.deepEqual(held(counted(0, 70)), counted(3, SESSION_LIMITS.perPeer));
});

void test('nothing is kept of a stranger of whom nothing was taken', () => {
  const { operations } = nodeStore(store.database, TEST_SEALED);
  took('stranger', [1, 2, 3], [], operations);
  assert.deepEqual(held([1, 2, 3]), []);
  assert.equal(store.operations['sessions.owe-lost']({ peer: 'stranger', ids: [idOf(1)] }), false);
});

void test('strangers have less room, each and all together', () => {
  const { operations } = nodeStore(store.database, TEST_SEALED);
  for (let n = 0; n < 80; n++) {
    // Of whom something is known, a card for instance.
    store.operations['papers.put']({ peer: `stranger ${n}`, card: null, certificate: null });
    took(`stranger ${n}`, counted(n * 10, 5), [], operations);
  }
  befriend('ben');
  took('ben', [9999]);
  const rows = store.database.prepare('SELECT count(*) AS n FROM incoming_sessions').get()!['n'];
  assert.equal(rows, SESSION_LIMITS.ofStrangers + 1);
  assert.deepEqual(held([0, 1, 9999]), [9999]);
  assert.equal(held(counted(790, 5)).length, SESSION_LIMITS.perStranger);
});

void test('a peer is told of a session until it was, and of so many at the most', () => {
  befriend('ben');
  took('ben', [1]);
  took('ben', [1]);
  store.operations['sessions.owe-lost']({ peer: 'ben', ids: counted(10, 100).map(idOf) });
  store.restart();
  const notices = store.operations['sessions.notices']({ peer: 'ben' });
  assert.deepEqual(
    notices.opened.map((id) => Uint8Array.from(id)),
    [idOf(1)],
  );
  assert.equal(notices.lost.length, SESSION_LIMITS.noticesPerPeer);
  assert.deepEqual(store.operations['sessions.notified-peers'](), ['ben']);
  store.operations['sessions.notices-paid']({ peer: 'ben', ...notices });
  assert.deepEqual(store.operations['sessions.notified-peers'](), []);
});

void test('the newest session seals; of those before it nothing is left but that they were ours', () => {
  for (const n of counted(1, 70))
    store.operations['sessions.sealed']({ peer: 'ben', id: idOf(n), state: Uint8Array.of(n) });
  assert.deepEqual(
    Uint8Array.from(store.operations['sessions.outgoing']({ peer: 'ben' })!),
    Uint8Array.of(70),
  );
  const keys = store.database.prepare('SELECT count(session) AS n FROM outgoing_sessions').get()!['n'];
  assert.equal(keys, 1);
  const lost = (n: number): number => store.operations['sessions.lost']({ peer: 'ben', ids: [idOf(n)] });
  assert.equal(lost(2), 0, 'long ago');
  assert.equal(lost(30), 1);
  assert.equal(lost(30), 0);
  assert.ok(store.operations['sessions.outgoing']({ peer: 'ben' }));
  assert.equal(lost(70), 1);
  assert.equal(store.operations['sessions.outgoing']({ peer: 'ben' }), undefined);
});

void test('a damaged row is as good as lost', () => {
  befriend('ben');
  took('ben', [1]);
  store.operations['sessions.sealed']({ peer: 'ben', id: idOf(2), state });
  store.database.exec(`
    UPDATE incoming_sessions SET session = x'00';
    UPDATE outgoing_sessions SET session = x'00';
    UPDATE session_notices SET session = x'00'`);
  assert.deepEqual(held([1]), []);
  assert.equal(store.operations['sessions.outgoing']({ peer: 'ben' }), undefined);
  assert.deepEqual(store.operations['sessions.notices']({ peer: 'ben' }), { opened: [], lost: [] });
});

void test('all that is shared with somebody can be forgotten, and all that we seal with', () => {
  for (const peer of ['ben', 'eve']) {
    befriend(peer);
    const n = peer === 'ben' ? 1 : 2;
    took(peer, [n]);
    store.operations['sessions.sealed']({ peer, id: idOf(n), state });
    const prekey = { id: idOf(10 + n), prekey: state, expiresMs: NOW_MS + 1 };
    store.operations['prekeys.received']({ peer, prekeys: [prekey], nowMs: NOW_MS });
    const own = { id: idOf(20 + n), state, expiresMs: NOW_MS + 1 };
    store.operations['prekeys.add']({ prekeys: [own], to: { peer }, nowMs: NOW_MS });
  }
  store.operations['sessions.forget']({ peer: 'ben' });
  assert.deepEqual(held([1, 2]), [2]);
  assert.equal(store.operations['sessions.outgoing']({ peer: 'ben' }), undefined);
  assert.equal(store.operations['prekeys.newest-received']({ peer: 'ben', nowMs: NOW_MS }), undefined);
  assert.equal(store.operations['prekeys.handed']({ peer: 'ben' }), 0);
  assert.ok(store.operations['sessions.outgoing']({ peer: 'eve' }));
  store.operations['sessions.forget-outgoing']({ peer: null });
  assert.equal(store.operations['sessions.outgoing']({ peer: 'eve' }), undefined);
  assert.equal(store.operations['prekeys.newest-received']({ peer: 'eve', nowMs: NOW_MS }), undefined);
  assert.deepEqual(held([2]), [2]);
});

void test('a session is kept while its prekey is, and for a while after its last blob', () => {
  befriend('ben');
  const prekey = { id: idOf(0), state, expiresMs: NOW_MS };
  store.operations['prekeys.add-last-resort']({ prekey, nowMs: NOW_MS });
  took('ben', [1]);
  store.operations['sessions.expire']({ takenBeforeMs: NOW_MS + 10 });
  assert.deepEqual(held([1]), [1]);
  took('ben', [], [idOf(0)]);
  store.operations['sessions.expire']({ takenBeforeMs: NOW_MS });
  assert.deepEqual(held([1]), [1]);
  store.operations['sessions.expire']({ takenBeforeMs: NOW_MS + 10 });
  assert.deepEqual(held([1]), []);
});

void test('nothing of keys lies in the file, and what was deleted is not left in it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tincan-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'daemon.db');
  const opened = openNodeStore({ file, dataKey: () => Buffer.from(TEST_DATA_KEY) });
  const { database, operations } = opened;
  operations['contacts.add']({ peer: 'ben', petname: null, nowMs: NOW_MS });
  const secret = randomBytes(100);
  const id = idOf(1);
  operations['sessions.sealed']({ peer: 'ben', id, state: secret });
  const prekey = { id: idOf(2), state: secret, expiresMs: NOW_MS };
  operations['prekeys.add']({ prekeys: [prekey], to: { peer: 'ben' }, nowMs: NOW_MS });
  const sealed = ['outgoing_sessions', 'own_prekeys'].map((table) => {
    const column = table === 'own_prekeys' ? 'prekey' : 'session';
    return Buffer.from(
      database.prepare(`SELECT ${column} AS value FROM ${table}`).get()!['value'] as Uint8Array,
    );
  });
  const checkpoint = (): Buffer => {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return readFileSync(file);
  };
  const before = checkpoint();
  for (const value of sealed) assert.ok(before.includes(value));
  for (const open of [secret, id, idOf(2)]) assert.ok(!before.includes(open));
  operations['sessions.forget']({ peer: 'ben' });
  const after = checkpoint();
  for (const value of sealed) assert.ok(!after.includes(value));
  database.close();
});
