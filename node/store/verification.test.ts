import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { testStore } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const CERTIFICATE = Uint8Array.of(1, 2, 3);

function opened(t: TestContext): TestStore {
  const store = testStore();
  t.after(() => store.close());
  return store;
}

void test('a mark belongs to a key, and can be taken back', (t) => {
  const { operations } = opened(t);
  operations['verifications.put']({ peer: 'ben', verifiedMs: 7 });
  operations['verifications.put']({ peer: 'ben', verifiedMs: 8 });
  operations['verifications.put']({ peer: 'nobody', verifiedMs: null });
  assert.deepEqual(
    operations['verifications.list']().map((row) => ({ ...row })),
    [{ peer: 'ben', verifiedMs: 8 }],
  );
  operations['verifications.put']({ peer: 'ben', verifiedMs: null });
  assert.deepEqual(operations['verifications.list'](), []);
});

void test('a mark that was planted in the file, or moved to another, is none', (t) => {
  const { database, operations } = opened(t);
  operations['verifications.put']({ peer: 'ben', verifiedMs: 7 });
  operations['contacts.add']({ peer: 'eve', petname: null, nowMs: 1 });
  database.exec(`
    PRAGMA foreign_keys = OFF;
    UPDATE verifications SET peer = (SELECT id FROM peers ORDER BY id DESC LIMIT 1);
    INSERT INTO verifications SELECT peer + 1, mark FROM verifications;
    INSERT INTO verifications VALUES (1, x'00');
  `);
  assert.deepEqual(operations['verifications.list'](), []);
});

void test('accepting a key moves the name, drops the mark of the old key, and remembers that one as decided', (t) => {
  const { operations } = opened(t);
  const pin = { name: 'ben', phonebook: 'book', seq: 3, certificate: CERTIFICATE };
  const change = { name: 'ben', phonebook: 'other', seq: 1, certificate: CERTIFICATE, seenMs: 5 };
  operations['pins.put']({ ...pin, peer: 'old' });
  operations['pins.put']({ ...pin, phonebook: 'second', peer: 'old' });
  for (const peer of ['old', 'new']) operations['verifications.put']({ peer, verifiedMs: 1 });
  operations['key-changes.put']({ ...change, peer: 'new', decided: false });
  assert.equal(operations['key-changes.accept']({ name: 'ben', peer: 'another', nowMs: 9 }), false);
  assert.equal(operations['key-changes.accept']({ name: 'ben', peer: 'new', nowMs: 9 }), true);
  assert.deepEqual(
    operations['pins.list']().map(({ peer, phonebook, seq }) => [peer, phonebook, seq]),
    [['new', 'other', 1]],
  );
  assert.deepEqual(
    operations['verifications.list']().map(({ peer }) => peer),
    ['new'],
  );
  assert.deepEqual(
    operations['key-changes.list']().map(({ peer, decided, seenMs }) => [peer, decided, seenMs]),
    [['old', 1, 9]],
  );
});
