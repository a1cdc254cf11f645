import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { openPages } from './database-pages.ts';
import { finishRepair, isHeld, isTruncated, rebuildStore, replaceStore, versionIn } from './repair.ts';
import { STORE_PRAGMAS } from './worker.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value BLOB) STRICT;
  CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA user_version = 1;
`;

const migrate = (database: DatabaseSync): void => database.exec(SCHEMA);

/** A store in use: what it has committed is still in its log. */
function openStore(t: TestContext): { file: string; database: DatabaseSync } {
  const folder = mkdtempSync(join(tmpdir(), 'tincan-repair-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'store.db');
  const database = new DatabaseSync(file);
  database.exec(STORE_PRAGMAS);
  migrate(database);
  return { file, database };
}

function fill(database: DatabaseSync, from: number, to: number): void {
  const insert = database.prepare('INSERT INTO items VALUES (?, ?, ?)');
  const note = database.prepare('INSERT INTO notes VALUES (?, ?)');
  for (let i = from; i < to; i++) {
    insert.run(i, `item ${i}`, i % 10 === 0 ? null : Buffer.alloc(i % 7 === 0 ? 20_000 : 200, i));
    note.run(`note ${i}`, 'x'.repeat(100));
  }
}

function rebuilt(file: string): { rows: number; damagedPages: number; items: unknown[]; lost: unknown[] } {
  const to = `${file}.repairing`;
  const { found, report } = rebuildStore({
    file,
    to,
    migrate,
    mend: (database) => database.prepare('SELECT row, value FROM lost_columns ORDER BY row').all(),
  });
  const database = new DatabaseSync(to);
  const items = database.prepare('SELECT * FROM items').all();
  database.close();
  return { ...found, items, lost: report };
}

void test('a store is read with its log, as far as commits are whole', (t) => {
  const { file, database } = openStore(t);
  const copy = `${file}.copy`;
  const counts: number[] = [];
  for (let from = 0; from < 60; from += 20) {
    database.exec('BEGIN');
    fill(database, from, from + 20);
    database.exec('COMMIT');
    counts.push(from + 20);
  }
  const items = database.prepare('SELECT * FROM items').all();
  copyFileSync(file, copy);
  copyFileSync(`${file}-wal`, `${copy}-wal`);
  database.close();
  assert.deepEqual(rebuilt(copy).items, items);
  {
    using pages = openPages(copy);
    pages.copyTo(`${file}.image`);
  }
  const image = new DatabaseSync(`${file}.image`);
  assert.deepEqual(image.prepare('PRAGMA integrity_check').get(), { __proto__: null, integrity_check: 'ok' });
  image.close();

  const log = readFileSync(`${copy}-wal`);
  const found = new Set<number>();
  for (let bytes = log.byteLength; bytes >= 0; bytes -= 9_999) {
    truncateSync(`${copy}-wal`, bytes);
    const { rows, damagedPages } = rebuilt(copy);
    if (rows > 0) assert.equal(damagedPages, 0);
    found.add(rows / 2);
  }
  // What SQLite itself goes back to: one commit or the other, never a part of one.
  assert.deepEqual([...found], [...counts.toReversed(), 0]);
  // A log that is damaged in the middle ends there.
  writeFileSync(`${copy}-wal`, log);
  const damaged = Buffer.from(log);
  damaged[damaged.byteLength - 5_000]! ^= 1;
  writeFileSync(`${copy}-wal`, damaged);
  assert.equal(rebuilt(copy).rows / 2, 40);
});

void test('rows that can not be read are known by their index; deleted ones do not come back', (t) => {
  const { file, database } = openStore(t);
  fill(database, 1, 300);
  database.exec('DELETE FROM items WHERE id BETWEEN 100 AND 199');
  const items = database.prepare('SELECT * FROM items').all();
  database.close();
  assert.deepEqual(rebuilt(file).items, items);

  const bytes = readFileSync(file);
  const at = Math.floor(bytes.indexOf(Buffer.alloc(200, 51)) / 4096) * 4096;
  bytes.fill(0xff, at, at + 4096);
  writeFileSync(file, bytes);
  const { items: left, lost, damagedPages } = rebuilt(file);
  assert.equal(damagedPages, 1);
  assert.ok(left.length < items.length && left.length > items.length - 30);
  const gone = items.filter(({ id }) => !left.some((row) => (row as { id: unknown }).id === id));
  assert.deepEqual(
    lost,
    gone.map(({ id, name }) => ({ __proto__: null, row: id, value: name })),
  );
});

void test('whoever is killed while a store is replaced leaves the rest to the next', (t) => {
  const { file, database } = openStore(t);
  fill(database, 0, 10);
  database.close();
  const [old, made] = [readFileSync(file), `${file}.repairing`];
  const folder = join(file, '..');
  const begin = (): void => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    writeFileSync(file, old);
    writeFileSync(`${file}-wal`, 'the log of the damaged one');
    rebuildStore({ file, to: made, migrate, mend: () => undefined });
  };
  const steps: [string, string][] = [
    ['.repairing', '.repaired-T'],
    ['-wal', '.damaged-T-wal'],
    ['', '.damaged-T'],
    ['.repaired-T', ''],
  ];
  for (let done = 0; done <= steps.length; done++) {
    begin();
    for (const [from, to] of steps.slice(0, done)) renameSync(file + from, file + to);
    const damaged = finishRepair(file);
    if (done === 0) assert.equal(damaged, undefined);
    else {
      assert.deepEqual(
        readdirSync(folder).toSorted(),
        ['store.db', 'store.db.damaged-T', 'store.db.damaged-T-wal'],
        `after ${done} steps`,
      );
      assert.deepEqual(readFileSync(`${file}.damaged-T`), old);
    }
  }
  begin();
  assert.match(
    replaceStore(file, made, Date.UTC(2026, 10, 20, 9, 8, 7)),
    /store\.db\.damaged-20261120T090807Z$/,
  );
  assert.equal(finishRepair(file), undefined);
});

void test('what can be told of a file without opening it', (t) => {
  const { file, database } = openStore(t);
  fill(database, 0, 10);
  database.close();
  assert.equal(isHeld(file), false);
  assert.equal(versionIn(file), 1);
  assert.equal(existsSync(`${file}-wal`), false);
  for (const [bytes, truncated] of [
    ['', true],
    ['garbage', false],
  ] as const) {
    writeFileSync(file, bytes);
    assert.equal(isHeld(file), false);
    assert.equal(versionIn(file), undefined);
    assert.equal(isTruncated(file), false);
    writeFileSync(join(file, '../identity.key'), 'somebody');
    assert.equal(isTruncated(file), truncated);
    rmSync(join(file, '../identity.key'));
  }
  assert.equal(isHeld(`${file}.none`), false);
});
