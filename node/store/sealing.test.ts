import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { DatabaseSync } from 'node:sqlite';
import { newDataKey } from '../at-rest/data-key.ts';
import { openNodeStore } from './file.ts';
import { TEST_DATA_KEY, testStore } from './store-fixture.ts';

const dataKey = (): Buffer => Buffer.from(TEST_DATA_KEY);

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'tincan-sealing-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

/** Which of these texts stand in a folder's files. */
function readableIn(where: string, texts: readonly string[]): string[] {
  const files = readdirSync(where).map((name) => readFileSync(join(where, name)));
  return texts.filter((text) => files.some((bytes) => bytes.includes(text)));
}

/** The store of the first release, as a file, and what it says. */
function unsealedStore(t: TestContext): { file: string; where: string } {
  const where = folder(t);
  const file = join(where, 'daemon.db');
  const packed = join(import.meta.dirname, '../../integration-tests/faults/releases/0.1.0/ada/daemon.db.gz');
  writeFileSync(file, gunzipSync(readFileSync(packed)));
  return { file, where };
}

void test('an unsealed store is sealed when it is opened: it says the same, and nothing of it can be read', (t) => {
  const { file, where } = unsealedStore(t);
  const before = new DatabaseSync(file);
  const rows = (sql: string): Record<string, unknown>[] => before.prepare(sql).all();
  const peers = rows('SELECT peer_id FROM peers').map((row) => row['peer_id'] as string);
  const petnames = rows('SELECT petname FROM contacts WHERE petname IS NOT NULL').map(
    (row) => row['petname'] as string,
  );
  const names = rows('SELECT name FROM pins').map((row) => row['name'] as string);
  const bodies = rows('SELECT body FROM messages').map((row) => Buffer.from(row['body'] as Uint8Array));
  const counts = rows('SELECT count(*) AS n FROM messages');
  before.close();
  assert.ok(peers.length > 0 && petnames.length > 0 && names.length > 0 && bodies.length > 0);

  const { database, operations } = openNodeStore({ file, dataKey });
  assert.deepEqual(database.prepare('SELECT count(*) AS n FROM messages').all(), counts);
  assert.deepEqual(database.prepare('PRAGMA foreign_key_check').all(), []);
  assert.equal(database.prepare('PRAGMA foreign_keys').get()!['foreign_keys'], 1);
  const texts = operations['history.conversations']().flatMap(({ peer }) =>
    operations['history.page']({ peer, limit: 1000 }).map(({ text }) => text),
  );
  assert.equal(texts.length, bodies.length);
  for (const text of texts) assert.ok(bodies.some((body) => body.includes(text)));
  assert.deepEqual(
    operations['contacts.list']().flatMap(({ petname }) => petname ?? []),
    petnames.toSorted(),
  );
  assert.deepEqual(
    operations['pins.list']()
      .map(({ name }) => name)
      .toSorted(),
    names.toSorted(),
  );
  // Also while it is open, and its log is there.
  const secrets = [...peers, ...texts.filter((text) => text.length > 3)];
  assert.deepEqual(readableIn(where, secrets), []);
  database.close();
  assert.deepEqual(readableIn(where, secrets), []);

  const again = openNodeStore({ file, dataKey });
  assert.equal(again.operations['history.page']({ peer: peers[0]!, limit: 1 }).length, 1);
  again.database.close();
});

void test('a store opens with no other key than its own', (t) => {
  const file = join(folder(t), 'daemon.db');
  const store = openNodeStore({ file, dataKey });
  store.operations['messages.send']({ items: [{ peer: 'ben', text: 'hello' }], nowMs: 1 });
  store.database.close();
  const bytes = readFileSync(file);
  assert.throws(() => openNodeStore({ file, dataKey: newDataKey }), {
    name: 'DataKeyError',
    code: 'foreign',
  });
  assert.deepEqual(readFileSync(file), bytes);
  // The proof may be damaged: then what it opens is proof.
  const database = new DatabaseSync(file);
  database.exec("UPDATE meta SET value = x'00'");
  database.close();
  assert.throws(() => openNodeStore({ file, dataKey: newDataKey }), { code: 'foreign' });
  openNodeStore({ file, dataKey }).database.close();
});

void test('what is put into the place of another is damage, and shown as nothing', () => {
  const store = testStore();
  for (const text of ['one', 'two', 'three'])
    store.operations['messages.send']({ items: [{ peer: 'ben', text }], nowMs: 1 });
  store.database.exec('UPDATE messages SET body = (SELECT body FROM messages WHERE row = 1) WHERE row = 2');
  store.restart();
  assert.deepEqual(
    store.operations['history.page']({ peer: 'ben', limit: 10 }).map(({ text }) => text),
    ['one', 'three'],
  );
  store.operations['contacts.add']({ peer: 'eve', petname: 'eve', nowMs: 1 });
  const [ben, eve] = store.database.prepare('SELECT id, peer_id FROM peers ORDER BY id').all();
  const swap = store.database.prepare('UPDATE peers SET peer_id = ? WHERE id = ?');
  swap.run(ben!['peer_id']!, eve!['id']!);
  swap.run(eve!['peer_id']!, ben!['id']!);
  store.restart();
  assert.throws(() => store.operations['contacts.list'](), { name: 'StoreError', code: 'corrupt' });
  store.close();
});
