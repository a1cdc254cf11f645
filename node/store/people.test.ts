import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { testStore } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

let store: TestStore;
beforeEach(() => {
  store = testStore();
});
afterEach(() => store.close());

const ops = () => store.operations;
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const add = (peer: string, petname: string | null, nowMs = 1) =>
  ops()['contacts.add']({ peer, petname, nowMs });

test('contacts are added once, named, renamed and removed; a petname is one person', () => {
  assert.equal(add('p2', null, 5), true);
  assert.equal(add('p1', 'zoe', 6), true);
  assert.equal(add('p2', 'zoe'), false);
  assert.equal(add('p1', null, 9), true, 'no petname leaves the one there is');
  assert.deepEqual(
    store.operations['contacts.list']().map(({ peer, petname, addedMs, unread }) => [
      peer,
      petname,
      addedMs,
      unread,
    ]),
    [
      ['p2', null, 5, 0],
      ['p1', 'zoe', 6, 0],
    ],
  );
  assert.equal(add('p1', 'zora'), true);
  assert.equal(add('p2', 'zoe'), true);
  assert.equal(ops()['contacts.remove']({ peer: 'p1' }), true);
  assert.equal(ops()['contacts.remove']({ peer: 'p1' }), false);
  assert.equal(ops()['contacts.remove']({ peer: 'nobody' }), false);
  store.restart();
  assert.deepEqual(
    store.operations['contacts.list']().map(({ peer, petname }) => [peer, petname]),
    [['p2', 'zoe']],
  );
});

test('a pin takes newer certificates of its peer and never moves to another', () => {
  const pin = { name: 'ann', phonebook: 'book', peer: 'p1', seq: 2, certificate: bytes(1) };
  const put = (change: Partial<typeof pin>) => ops()['pins.put']({ ...pin, ...change });
  const pinned = () =>
    store.operations['pins.list']().map(({ phonebook, peer, seq, certificate }) => [
      phonebook,
      peer,
      seq,
      ...certificate,
    ]);
  put({});
  put({ peer: 'mallory', seq: 9, certificate: bytes(66) });
  put({ seq: 1, certificate: bytes(3) });
  put({ seq: 2, certificate: bytes(4) });
  assert.deepEqual(pinned(), [['book', 'p1', 2, 1]]);
  put({ seq: 3, certificate: bytes(5) });
  put({ phonebook: 'other', peer: 'p2' });
  assert.deepEqual(pinned(), [
    ['book', 'p1', 3, 5],
    ['other', 'p2', 2, 1],
  ]);
});

test('papers are kept one by one', () => {
  assert.deepEqual(ops()['papers.get']({ peer: 'p1' }), { card: null, certificate: null });
  ops()['papers.put']({ peer: 'p1', card: bytes(1), certificate: null });
  ops()['papers.put']({ peer: 'p1', card: null, certificate: bytes(2) });
  store.restart();
  const { card, certificate } = ops()['papers.get']({ peer: 'p1' });
  assert.deepEqual([card, certificate], [bytes(1), bytes(2)]);
});

test('addresses come contacts first, the newest peers before the others, no more than asked for', () => {
  for (const peer of ['p1', 'p2', 'p3']) ops()['addresses.put']({ peer, addresses: [`/dns4/${peer}/tcp/1`] });
  add('p2', null);
  add('unreached', null);
  const listed = (limit: number) => store.operations['addresses.list']({ limit }).map(({ peer }) => peer);
  assert.deepEqual(listed(10), ['p2', 'p3', 'p1']);
  assert.deepEqual(listed(1), ['p2']);
  ops()['addresses.put']({ peer: 'p2', addresses: [] });
  assert.deepEqual(ops()['addresses.list']({ limit: 1 }), [{ peer: 'p2', addresses: [] }]);
});

test('a small fact is kept, replaced and removed', () => {
  const get = () => ops()['meta.get']({ key: 'fact' });
  assert.equal(get(), undefined);
  ops()['meta.put']({ key: 'fact', value: bytes(1) });
  ops()['meta.put']({ key: 'fact', value: bytes(2) });
  store.restart();
  assert.deepEqual(get(), bytes(2));
  ops()['meta.put']({ key: 'fact', value: null });
  assert.equal(get(), undefined);
});
