import type { DatabaseSync } from 'node:sqlite';
import type { DatabasePages } from './database-pages.ts';
import { readBTreePage } from './records.ts';
import type { BTreePage, PageRecord } from './records.ts';
import { fit, shapesOf } from './shapes.ts';
import type { Shape } from './shapes.ts';

/** What was found of a database. */
export interface Salvage {
  /** Rows that were read and kept. */
  rows: number;
  /** Pages that belong to something and can't be read as that. */
  damagedPages: number;
}

/**
 * Where `salvage` leaves what indexes know of rows that could not be read: a column's value each. What is rebuilt by a
 * table's owner begins here.
 */
export const LOST_COLUMNS_SCHEMA = `
  CREATE TEMP TABLE lost_columns (
    of_table TEXT NOT NULL, row INTEGER NOT NULL, name TEXT NOT NULL, value ANY,
    PRIMARY KEY (of_table, row, name)
  ) STRICT, WITHOUT ROWID;
`;

const FREE = 1;
const TAKEN = 2;

interface Entry {
  root: number;
  shape: Shape;
}

/** What SQLite's own table of tables says about where each begins. */
function entriesIn(page: BTreePage, shapes: readonly Shape[]): Entry[] {
  return page.records.flatMap(({ values: [, name, , root] }) => {
    const shape = shapes.find((shape) => shape.name === name);
    return shape === undefined || typeof root !== 'number' ? [] : [{ root, shape }];
  });
}

/**
 * Reads all that can be read of a damaged database into an empty one with the same schema, page by page and without
 * SQLite: a page that is broken takes its own rows along and no others. First by way of the trees, then from pages that
 * no tree leads to any more, by what their rows look like; a row that is there already stays.
 *
 * Foreign keys are the caller's to restore.
 */
export function salvage(pages: DatabasePages, into: DatabaseSync): Salvage {
  const shapes = shapesOf(into);
  const marks = new Uint8Array(pages.count + 1);
  const result: Salvage = { rows: 0, damagedPages: 0 };
  const inserts = new Map(
    shapes
      .filter(({ isTable }) => isTable)
      .map((shape) => [
        shape,
        into.prepare(
          `INSERT OR IGNORE INTO ${shape.table} (${shape.columns.map(({ name }) => name).join(', ')})
           VALUES (${shape.columns.map(() => '?').join(', ')})`,
        ),
      ]),
  );
  into.exec(LOST_COLUMNS_SCHEMA);

  const markFree = (): void => {
    let trunk = pages.hasHeader ? pages.page(1)!.readUInt32BE(32) : 0;
    while (trunk > 0 && trunk <= pages.count && marks[trunk] === 0) {
      marks[trunk] = FREE;
      const page = pages.page(trunk);
      if (page === undefined) return;
      const leaves = Math.min(page.readUInt32BE(4), pages.usableBytes / 4 - 2);
      for (let i = 0; i < leaves; i++) {
        const leaf = page.readUInt32BE(8 + 4 * i);
        if (leaf <= pages.count) marks[leaf] = FREE;
      }
      trunk = page.readUInt32BE(0);
    }
  };

  const keep = (shape: Shape, record: PageRecord): boolean => {
    const values = fit(shape, record);
    if (values === undefined) return false;
    result.rows += Number(inserts.get(shape)!.run(...values).changes);
    return true;
  };

  /** Every page of a tree that can be read, once. */
  const walk = function* (root: number, shape: Shape): Generator<BTreePage> {
    const stack = [root];
    for (let number = stack.pop(); number !== undefined; number = stack.pop()) {
      const page = marks[number] === TAKEN ? undefined : readBTreePage(pages, number);
      const fits = (record: PageRecord): boolean => fit(shape, record) !== undefined;
      const ours =
        page !== undefined &&
        page.ofIndex === shape.ofIndex &&
        (page.records.length === 0 ? page.unreadable === 0 : page.records.some(fits));
      if (!ours) {
        result.damagedPages++;
        continue;
      }
      if (page.unreadable > 0 || !page.records.every(fits)) result.damagedPages++;
      for (const taken of [number, ...page.overflow]) marks[taken] = TAKEN;
      stack.push(...page.children.toReversed());
      yield page;
    }
  };

  const keepLostColumns = (indexes: readonly Entry[]): void => {
    const insertLost = into.prepare('INSERT OR IGNORE INTO lost_columns VALUES (?, ?, ?, ?)');
    for (const { root, shape } of indexes) {
      const hasRow = into.prepare(`SELECT 1 FROM ${shape.table} WHERE rowid = ?`);
      for (const { records } of walk(root, shape)) {
        for (const record of records) {
          const values = fit(shape, record);
          const row = values?.at(-1);
          if (values === undefined || typeof row !== 'number' || hasRow.get(row) !== undefined) continue;
          for (const [index, { name }] of shape.columns.slice(0, -1).entries())
            insertLost.run(shape.table, row, name, values[index]!);
        }
      }
    }
  };

  into.exec('BEGIN');
  markFree();
  const schema: Shape = {
    name: 'sqlite_schema',
    table: 'sqlite_schema',
    ofIndex: false,
    isTable: true,
    columns: ['TEXT', 'TEXT', 'TEXT', 'INTEGER', 'TEXT'].map((type) => ({ name: '', type, mayBeNull: true })),
    rowColumn: undefined,
  };
  const entries = [...walk(1, schema)].flatMap((page) => entriesIn(page, shapes));
  for (const { root, shape } of entries.filter(({ shape }) => shape.isTable)) {
    for (const { records } of walk(root, shape)) for (const record of records) keep(shape, record);
  }
  const indexes = entries.filter(({ shape }) => !shape.isTable);
  if (result.damagedPages > 0 || entries.length < shapes.length) {
    const isTree = new Set(indexes.map(({ root }) => root));
    for (let number = 1; number <= pages.count; number++) {
      if (marks[number] !== 0 || isTree.has(number)) continue;
      for (const record of readBTreePage(pages, number)?.records ?? []) {
        const shape = shapes.find((shape) => shape.isTable && fit(shape, record) !== undefined);
        if (shape !== undefined) keep(shape, record);
      }
    }
  }
  keepLostColumns(indexes);
  into.exec('COMMIT');
  return result;
}
