import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { fixtureStore } from './store-fixture.ts';
import type { FixtureOperations } from './store-fixture.ts';
import { runGroup, STORE_PRAGMAS } from './worker.ts';
import type { Call, Durability, Reply } from './worker.ts';

function open(t: TestContext) {
  const database = new DatabaseSync(':memory:');
  t.after(() => database.close());
  database.exec(STORE_PRAGMAS);
  const store = fixtureStore(database);
  let id = 0;
  const run = (...calls: [keyof FixtureOperations, unknown?, Durability?][]): Reply[] =>
    runGroup(
      store,
      calls.map(([operation, argument, durability = 'disk']): Call => ({
        id: ++id,
        operation,
        argument,
        durability,
      })),
    );
  return { database, store, run, all: () => store.operations.all(), counts: () => store.operations.counts() };
}

void test('a group is one transaction, answered in order', (t) => {
  const { run, counts } = open(t);
  assert.deepEqual(run(['add', 'a'], ['add', 'b'], ['all']), [
    { id: 1, value: 1 },
    { id: 2, value: 2 },
    { id: 3, value: ['a', 'b'] },
  ]);
  assert.deepEqual(counts(), { transactions: 1, rolledBack: 0 });
});

void test('a call that fails loses its own changes and no other', (t) => {
  const { run, all, counts } = open(t);
  const replies = run(['add', 'a'], ['addAndRefuse', 'b'], ['addAndThrow', 'c'], ['add', 'd']);
  assert.deepEqual(replies, [
    { id: 1, value: 1 },
    { id: 2, error: { message: 'b is refused', code: 'newer-version' } },
    { id: 3, error: { message: 'c is a fault', code: 'internal' } },
    { id: 4, value: 2 },
  ]);
  assert.deepEqual(all(), ['a', 'd']);
  assert.deepEqual(counts(), { transactions: 1, rolledBack: 2 });
});

void test('an operation there is none of fails alone', (t) => {
  const { run } = open(t);
  const [unknown, known] = run(['nonsense' as 'add', 'a'], ['add', 'b']);
  assert.equal(unknown!.error!.code, 'internal');
  assert.equal(known!.value, 1);
});

void test('a commit that fails fails every call, and the next group is whole', (t) => {
  const { database, run, all, counts } = open(t);
  const replies = run(['add', 'a'], ['addDanglingNote'], ['add', 'b']);
  for (const [i, { id, error, value }] of replies.entries()) {
    assert.equal(id, i + 1);
    assert.equal(value, undefined);
    assert.match(error!.message, /FOREIGN KEY/);
  }
  assert.equal(database.isTransaction, false);
  assert.deepEqual(all(), []);
  assert.deepEqual(counts(), { transactions: 1, rolledBack: 1 });
  assert.deepEqual(run(['add', 'c']), [{ id: 4, value: 1 }]);
});

void test('a full disk fails what has no room, says so, and loses nothing that was kept', (t) => {
  const { database, run, all } = open(t);
  run(['add', 'before']);
  const pages = Number(database.prepare('PRAGMA page_count').get()!['page_count']);
  run(['limitPages', pages + 2]);
  const replies = run(['add', 'a'], ['fill', 100_000], ['add', 'b']);
  assert.deepEqual(replies[1]!.error, { message: 'database or disk is full', code: 'disk-full' });
  const kept = replies.filter(({ error }) => error === undefined).length;
  assert.equal(all().length, 1 + kept);
  assert.equal(database.isTransaction, false);
  run(['limitPages', 1000]);
  assert.equal(run(['fill', 100_000])[0]!.error, undefined);
  assert.equal(all()[0], 'before');
});

void test('a transaction that SQLite ended by itself fails every call of the group', (t) => {
  const { database, store, run, all, counts } = open(t);
  const { add } = store.operations;
  // What SQLite does on some errors of the disk.
  store.operations.add = (value) => {
    if (value !== 'fatal') return add(value);
    database.exec('ROLLBACK');
    throw Object.assign(new Error('disk I/O error'), { errcode: 10 | (3 << 8) });
  };
  const replies = run(['add', 'a'], ['add', 'fatal'], ['add', 'b']);
  assert.deepEqual(
    replies,
    [1, 2, 3].map((id) => ({ id, error: { message: 'disk I/O error', code: 'io' } })),
  );
  assert.deepEqual(all(), []);
  assert.equal(counts().rolledBack, 1);
});

void test('a damaged page concerns only the calls that meet it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tincan-damaged-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'store.db');
  const before = new DatabaseSync(file);
  fixtureStore(before).operations.fill(10_000);
  before.close();
  const bytes = readFileSync(file);
  // One that the value goes on in, and from there in another.
  bytes.fill(0xa5, bytes.byteLength - 8192, bytes.byteLength - 4096);
  writeFileSync(file, bytes);

  const database = new DatabaseSync(file);
  t.after(() => database.close());
  database.exec(STORE_PRAGMAS);
  const store = fixtureStore(database);
  const call = (id: number, operation: string): Call => ({
    id,
    operation,
    argument: 'a',
    durability: 'disk',
  });
  const replies = runGroup(store, [call(1, 'add'), call(2, 'all'), call(3, 'add'), call(4, 'counts')]);
  assert.deepEqual(
    replies.map(({ id, error }) => [id, error?.code]),
    [
      [1, undefined],
      [2, 'corrupt'],
      [3, undefined],
      [4, undefined],
    ],
  );
  assert.match(replies[1]!.error!.message, /store\.db is damaged .*tincan doctor --repair --data-dir /);
  assert.equal(database.prepare('SELECT count(*) AS n FROM items').get()!['n'], 3);
});

void test('a group is synced unless every call of it does without', (t) => {
  const { database, store, run } = open(t);
  const levels: unknown[] = [];
  const { add } = store.operations;
  store.operations.add = (value) => {
    levels.push(database.prepare('PRAGMA synchronous').get()!['synchronous']);
    return add(value);
  };
  run(['add', 'a', 'process'], ['add', 'b', 'process']);
  run(['add', 'c', 'process'], ['add', 'd', 'disk']);
  run(['addDanglingNote', undefined, 'process']);
  run(['add', 'e']);
  const [normal, full] = [1, 2];
  assert.deepEqual(levels, [normal, normal, full, full, full]);
});
