import type { DatabaseSync } from 'node:sqlite';
import type { ColumnValue, PageRecord } from './records.ts';

interface Column {
  name: string;
  /** A column type of a STRICT table; empty where anything goes. */
  type: string;
  mayBeNull: boolean;
  /** What a row has that was written before the column was added. */
  missing?: ColumnValue;
}

/** What the records of a table or an index look like on a page. */
export interface Shape {
  name: string;
  /** The table itself, or the one an index is of. */
  table: string;
  /** Whether its pages are those of an index: also a table WITHOUT ROWID. */
  ofIndex: boolean;
  /** Whether its records are rows, not only pointers to some. */
  isTable: boolean;
  /** In the order in which records have them. */
  columns: Column[];
  /** Which column stands for the row number, and so is not in the record. */
  rowColumn: string | undefined;
}

type Row = Record<string, string | number | null>;

/** The shapes of all that a schema makes, from a database that has it. */
export function shapesOf(database: DatabaseSync): Shape[] {
  const all = (sql: string, ...values: string[]): Row[] =>
    database.prepare(sql).all(...values) as unknown as Row[];
  const shapes: Shape[] = [];
  for (const { name: table, wr } of all(
    "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
  )) {
    const infos = all(
      'SELECT name, type, "notnull", pk, dflt_value AS missing FROM pragma_table_xinfo(?)',
      table as string,
    );
    const byName = new Map(
      infos.map(({ name, type, notnull, pk, missing }): [string, Column] => [
        name as string,
        {
          name: name as string,
          type: type as string,
          mayBeNull: notnull === 0 && !(wr === 1 && pk !== 0),
          // Ours are whole numbers.
          ...(missing !== null && missing !== undefined && { missing: Number(missing) }),
        },
      ]),
    );
    const keys = infos.filter(({ pk }) => pk !== 0);
    const rowColumn =
      wr === 0 && keys.length === 1 && keys[0]!['type'] === 'INTEGER'
        ? (keys[0]!['name'] as string)
        : undefined;
    if (wr === 0) {
      const columns = [...byName.values()];
      shapes.push({
        name: table as string,
        table: table as string,
        ofIndex: false,
        isTable: true,
        columns,
        rowColumn,
      });
    }
    for (const { name, origin } of all('SELECT name, origin FROM pragma_index_list(?)', table as string)) {
      const entries = all('SELECT cid, name FROM pragma_index_xinfo(?) ORDER BY seqno', name as string);
      const isTable = wr === 1 && origin === 'pk';
      // An index of a table WITHOUT ROWID names its rows by their key; none of ours has one.
      if (wr === 1 && !isTable) continue;
      const row: Column = { name: rowColumn ?? 'rowid', type: 'INTEGER', mayBeNull: false };
      const columns = entries.map(({ cid, name }) => (cid === -1 ? row : byName.get(name as string)!));
      shapes.push({
        name: isTable ? (table as string) : (name as string),
        table: table as string,
        ofIndex: true,
        isTable,
        columns,
        rowColumn: undefined,
      });
    }
  }
  return shapes;
}

function fitsColumn(value: ColumnValue, { type, mayBeNull }: Column): boolean {
  if (value === null) return mayBeNull;
  switch (type) {
    case 'INTEGER':
      return typeof value === 'number' && Number.isSafeInteger(value);
    case 'TEXT':
      return typeof value === 'string';
    case 'BLOB':
      return value instanceof Uint8Array;
    default:
      return true;
  }
}

/** The values of a record by the shape's columns, the row number filled in; undefined when it is none of this shape. */
export function fit(
  { columns, rowColumn, ofIndex }: Shape,
  { row, values }: PageRecord,
): ColumnValue[] | undefined {
  if (values.length > columns.length || (row === undefined) !== ofIndex) return undefined;
  const filled: ColumnValue[] = [];
  for (const [index, column] of columns.entries()) {
    const isRow = column.name === rowColumn;
    if (isRow && values[index] !== null) return undefined;
    const value = isRow ? row! : index < values.length ? values[index]! : column.missing;
    if (value === undefined || !fitsColumn(value, column)) return undefined;
    filled.push(value);
  }
  return filled;
}
