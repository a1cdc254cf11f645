import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from './operations.ts';
import type { OpenStore } from './worker.ts';

/** A small store for tests: values in order, and the faults an operation may have. */
export function fixtureStore(database: DatabaseSync) {
  database.exec('CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, value ANY NOT NULL) STRICT');
  database.exec(
    'CREATE TABLE IF NOT EXISTS notes (item INTEGER REFERENCES items DEFERRABLE INITIALLY DEFERRED) STRICT',
  );
  const insert = database.prepare('INSERT INTO items (value) VALUES (?)');
  const insertNote = database.prepare('INSERT INTO notes (item) VALUES (?)');
  const select = database.prepare('SELECT value FROM items ORDER BY id');
  const counts = { transactions: 0, rolledBack: 0 };
  const exec = database.exec.bind(database);
  database.exec = (sql) => {
    if (sql === 'BEGIN') counts.transactions++;
    exec(sql);
  };
  const operations = {
    add: (value: string): number => Number(insert.run(value).lastInsertRowid),
    addAndRefuse: (value: string): void => {
      insert.run(value);
      throw new StoreError(`${value} is refused`, 'newer-version');
    },
    addAndThrow: (value: string): void => {
      insert.run(value);
      throw new TypeError(`${value} is a fault`);
    },
    fill: (bytes: number): void => {
      insert.run(Buffer.alloc(bytes));
    },
    /** Lets the call succeed and the commit fail. */
    addDanglingNote: (): void => {
      insertNote.run(12_345);
    },
    all: (): unknown[] => select.all().map(({ value }) => value),
    counts: () => ({ ...counts }),
    limitPages: (pages: number): void => exec(`PRAGMA max_page_count = ${pages}`),
    /** Blocks the worker until the flag is set. */
    block: (flag: Int32Array): void => {
      Atomics.wait(flag, 0, 0);
    },
    /** Takes the worker down before it has answered. */
    exit: (): void => process.exit(1),
    throwLater: (): void => {
      process.nextTick(() => {
        throw new Error('the worker fell over');
      });
    },
  };
  const store: Omit<OpenStore, 'operations'> & { operations: typeof operations } = {
    database,
    operations,
    rolledBack: () => {
      counts.rolledBack++;
    },
  };
  return store;
}

export type FixtureOperations = ReturnType<typeof fixtureStore>['operations'];
