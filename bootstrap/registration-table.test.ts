import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCookie, encodeCookie } from './registration-cookie.ts';
import { REGISTRATION_SCHEMA, registrationTable } from './registration-table.ts';
import type { RegistrationLimits } from './registration-table.ts';

const NOW = 1_800_000_000_000;
const LATER = NOW + 7_200_000;
const LIMITS: RegistrationLimits = { maxPerPeer: 3, maxTotal: 6, maxPage: 4, maxPageBytes: 2000 };

function openTable(limits: Partial<RegistrationLimits> = {}, database = new DatabaseSync(':memory:')) {
  database.exec(REGISTRATION_SCHEMA);
  const { operations, rolledBack } = registrationTable(database, { ...LIMITS, ...limits });
  const add = (peerId: string, namespace = 'a', { nowMs = NOW, expiresAtMs = LATER, bytes = 10 } = {}) =>
    operations['registrations.add']({
      peerId,
      namespace,
      signedPeerRecord: new Uint8Array(bytes),
      expiresAtMs,
      nowMs,
    }).refused?.refusal;
  const discover = (namespace?: string, cookie?: Uint8Array, { limit = 100, nowMs = NOW } = {}) => {
    const page = operations['registrations.discover']({ namespace, limit, cookie, nowMs });
    return page.refused === undefined
      ? { peers: page.registrations.map(({ peerId }) => peerId), cookie: page.cookie, refused: undefined }
      : { peers: [], cookie: undefined, refused: page.refused.refusal };
  };
  return { database, operations, rolledBack, add, discover };
}

void test('pages continue behind the last registration seen, and new ones come on later pages', () => {
  const { add, discover, operations } = openTable();
  for (const peer of ['p1', 'p2', 'p3']) assert.equal(add(peer), undefined);
  assert.equal(add('p1', 'b'), undefined);
  const first = discover('a', undefined, { limit: 2 });
  assert.deepEqual(first.peers, ['p1', 'p2']);

  // While the pages are turned: one goes, one comes, one renews.
  operations['registrations.remove']({ peerId: 'p1', namespace: 'a' });
  add('p4');
  add('p2');
  const second = discover('a', first.cookie);
  assert.deepEqual(second.peers, ['p3', 'p4', 'p2']);
  const third = discover('a', second.cookie);
  assert.deepEqual(third.peers, []);
  add('p5');
  assert.deepEqual(discover('a', third.cookie).peers, ['p5']);
  assert.deepEqual(discover().peers, ['p3', 'p1', 'p4', 'p2'], 'all namespaces, at most maxPage');
});

void test('a page ends before it gets too large', () => {
  const { add, discover } = openTable();
  for (const peer of ['p1', 'p2', 'p3']) add(peer, 'a', { bytes: 900 });
  const first = discover('a');
  assert.deepEqual(first.peers, ['p1', 'p2']);
  assert.deepEqual(discover('a', first.cookie).peers, ['p3']);
});

void test('a cookie is bound to its namespace and its rendezvous point', () => {
  const { add, discover } = openTable();
  add('p1');
  const ofNamespace = discover('a').cookie;
  const ofAll = discover().cookie;
  assert.equal(discover('b', ofNamespace).refused, 'invalid-cookie');
  assert.equal(discover(undefined, ofNamespace).refused, 'invalid-cookie');
  assert.equal(discover('a', ofAll).refused, 'invalid-cookie');
  assert.equal(discover(undefined, ofAll).refused, undefined);
  assert.equal(openTable().discover('a', ofNamespace).refused, 'invalid-cookie');
  assert.equal(discover('a', new Uint8Array(0)).refused, 'invalid-cookie');
  assert.equal(discover('a', new Uint8Array(300).fill(0xff)).refused, 'invalid-cookie');
});

void test('a cookie outlives the process', () => {
  const { database, add, discover } = openTable();
  add('p1');
  const { cookie } = discover('a');
  const reopened = openTable({}, database);
  reopened.add('p2');
  assert.deepEqual(reopened.discover('a', cookie).peers, ['p2']);
});

void test('what has expired is not found, not counted and soon deleted', () => {
  const { database, add, discover, operations } = openTable();
  add('p1', 'a', { expiresAtMs: NOW + 1 });
  add('p2');
  assert.deepEqual(discover('a', undefined, { nowMs: NOW + 1 }).peers, ['p2']);
  assert.equal(operations['registrations.count']({ nowMs: NOW }), 2);
  assert.equal(operations['registrations.count']({ nowMs: NOW + 1 }), 1);
  add('p3', 'a', { nowMs: NOW + 1 });
  assert.equal(database.prepare('SELECT count(*) AS rows FROM registrations').get()!['rows'], 2);
});

void test('a peer has its quota and everybody theirs; renewing is always possible', () => {
  const { add, operations } = openTable();
  for (const namespace of ['a', 'b', 'c']) assert.equal(add('p1', namespace), undefined);
  assert.equal(add('p1', 'd'), 'not-authorized');
  assert.equal(add('p1', 'c'), undefined);
  for (const peer of ['p2', 'p3', 'p4']) assert.equal(add(peer), undefined);
  assert.equal(add('p5'), 'unavailable');
  assert.equal(add('p4'), undefined);
  operations['registrations.remove']({ peerId: 'p4', namespace: 'a' });
  operations['registrations.remove']({ peerId: 'nobody', namespace: 'a' });
  assert.equal(add('p5'), undefined);
  assert.equal(add('p6'), 'unavailable');
});

void test('counts right after a rollback', () => {
  const { database, operations, rolledBack, add } = openTable({ maxTotal: 1 });
  assert.equal(operations['registrations.count']({ nowMs: NOW }), 0);
  database.exec('SAVEPOINT call');
  add('p1');
  database.exec('ROLLBACK TO call; RELEASE call');
  rolledBack();
  assert.equal(add('p2'), undefined);
  assert.equal(add('p3'), 'unavailable');
});

void test('every cookie survives the wire, and no bytes bring the decoder down', () => {
  const positions = fc.record(
    {
      epoch: fc.uint8Array({ minLength: 8, maxLength: 8 }),
      position: fc.maxSafeNat(),
      namespace: fc.option(fc.string({ minLength: 1, unit: 'binary' }), { nil: undefined }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(positions, (position) => {
      const decoded = decodeCookie(encodeCookie(position));
      assert.deepEqual({ ...decoded, epoch: Uint8Array.from(decoded!.epoch) }, position);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeCookie(bytes)));
});
