import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openPages } from './database-pages.ts';
import { StoreError, storeErrorCode } from './operations.ts';
import { salvage } from './salvage.ts';
import type { Salvage } from './salvage.ts';

/** What SQLite keeps beside a database. */
const BESIDE = ['-wal', '-shm'];

const REPAIRED = '.repaired-';

function syncFolder(file: string): void {
  // Windows can't open a directory.
  if (process.platform === 'win32') return;
  const folder = openSync(dirname(file), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/**
 * Puts a store that `repairStore` has made in the place of the damaged one, if there is such. To be called before a store
 * is opened: whoever was killed in the middle of that leaves it to the next.
 *
 * @returns where the damaged file is now
 */
export function finishRepair(file: string): string | undefined {
  const prefix = `${basename(file)}${REPAIRED}`;
  const folder = dirname(file);
  if (!existsSync(folder)) return undefined;
  const repaired = readdirSync(folder).find((name) => name.startsWith(prefix));
  if (repaired === undefined) return undefined;
  const damaged = `${file}.damaged-${repaired.slice(prefix.length)}`;
  // The log first: applied to the new file, it would damage that.
  for (const end of BESIDE) moveIfThere(file + end, damaged + end);
  moveIfThere(file, damaged);
  moveIfThere(join(folder, repaired), file);
  syncFolder(file);
  return damaged;
}

/** Whether a store is empty though its program has run: nothing that Tincan does leaves that, and SQLite would begin anew. */
export function isTruncated(file: string): boolean {
  return existsSync(file) && statSync(file).size === 0 && existsSync(join(dirname(file), 'identity.key'));
}

/** @throws StoreError `corrupt` */
export function refuseTruncated(file: string): void {
  if (isTruncated(file)) throw new StoreError('the file is empty', 'corrupt');
}

/** Whether another process has a store open. Changes nothing, and the file may be damaged or no database at all. */
export function isHeld(file: string): boolean {
  if (!existsSync(file)) return false;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { readOnly: true });
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.prepare('SELECT 1 FROM sqlite_schema').get();
    return false;
  } catch (error) {
    // Anything else is said by who reads it next.
    return storeErrorCode(error) === 'held';
  } finally {
    database?.close();
  }
}

/** The version of the schema that a store's header names; undefined when the header can't be read. */
export function versionIn(file: string): number | undefined {
  using pages = openPages(file);
  return pages.hasHeader ? pages.page(1)!.readUInt32BE(60) : undefined;
}

export interface RebuildInit<Report> {
  /** The damaged store. */
  file: string;
  /** The new one; what is there is overwritten. */
  to: string;
  /** Brings an empty database to a version of the schema. */
  migrate: (database: DatabaseSync, version?: number) => void;
  /** Makes whole what the schema and the program rely on, and says what is lost. Foreign keys hold afterwards. */
  mend: (database: DatabaseSync) => Report;
}

/**
 * Makes a new store of what can be read of another, which is not changed. On disk when it returns.
 *
 * @throws StoreError `disk-full` when there is no room for it
 */
export function rebuildStore<Report>({ file, to, migrate, mend }: RebuildInit<Report>): {
  found: Salvage;
  report: Report;
} {
  rmSync(to, { force: true });
  closeSync(openSync(to, 'wx', 0o600));
  using pages = openPages(file);
  const version = pages.hasHeader ? pages.page(1)!.readUInt32BE(60) : 0;
  const database = new DatabaseSync(to);
  try {
    // Whoever is killed here begins again with an empty file.
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF');
    if (version > 0) migrate(database, version);
    else migrate(database);
    const found = salvage(pages, database);
    migrate(database);
    database.exec('BEGIN');
    const report = mend(database);
    database.exec('COMMIT; DROP TABLE lost_columns');
    const wrong = [
      ...database.prepare('PRAGMA foreign_key_check').all(),
      ...database.prepare("SELECT * FROM pragma_integrity_check WHERE integrity_check != 'ok'").all(),
    ];
    if (wrong.length > 0) throw new Error(`the repaired store is not whole: ${JSON.stringify(wrong[0])}`);
    database.close();
    const written = openSync(to, 'r+');
    fsyncSync(written);
    closeSync(written);
    return { found, report };
  } catch (error) {
    if (database.isOpen) database.close();
    rmSync(to, { force: true });
    throw error;
  }
}

/**
 * Replaces a store by the one that was made of it. A kill at any point leaves one or the other to be opened, and the
 * damaged files are kept.
 *
 * @param made on the same file system
 * @returns where the damaged file is now
 */
export function replaceStore(file: string, made: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  renameSync(made, `${file}${REPAIRED}${stamp}`);
  syncFolder(file);
  return finishRepair(file)!;
}
