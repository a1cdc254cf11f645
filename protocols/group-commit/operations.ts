import { dirname } from 'node:path';

/**
 * A store is a set of named operations, each one argument in and one value out (both structured-cloneable), that run
 * inside a worker thread on one SQLite connection. What a process asks for in one turn of its event loop, and
 * whatever gathers while a commit is being synced to disk, becomes one transaction.
 */
export type Operations = Record<string, (argument: never) => unknown>;

export type StoreErrorCode =
  | 'held'
  | 'disk-full'
  | 'io'
  | 'corrupt'
  | 'newer-version'
  | 'closed'
  | 'internal';

/**
 * The store could not do what was asked; nothing of the operation was kept.
 *
 * - `held`: another process has the data directory open
 * - `disk-full`: no room; try again when there is
 * - `io`: the disk reported an error, or the file may not be read or written
 * - `corrupt`: the database file is damaged
 * - `newer-version`: written by a newer Tincan
 * - `closed`: the store is being closed
 * - `internal`: a fault of ours
 */
export class StoreError extends Error {
  override name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(message: string, code: StoreErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** SQLite's primary result codes (https://www.sqlite.org/rescode.html) that have a meaning of their own here. */
const SQLITE_CODES: Record<number, StoreErrorCode> = {
  3: 'io',
  5: 'held',
  6: 'held',
  8: 'io',
  10: 'io',
  11: 'corrupt',
  13: 'disk-full',
  14: 'io',
  26: 'corrupt',
};

/** What an error from SQLite or from an operation means to the caller. */
export function storeErrorCode(error: unknown): StoreErrorCode {
  if (error instanceof StoreError) return error.code;
  const errcode = (error as { errcode?: unknown }).errcode;
  return typeof errcode === 'number' ? (SQLITE_CODES[errcode & 0xff] ?? 'internal') : 'internal';
}

/** Errors of a statement that is right, when the tables that it is about are not all there. */
const SCHEMA_GONE = /^no such (?:table|column|index)/;

/**
 * What to tell of an error about a store's file, so that its user knows which file, and what to do.
 *
 * @param file undefined for a database in memory
 */
export function explainStoreError(
  file: string | null | undefined,
  error: unknown,
): { message: string; code: StoreErrorCode } {
  const { message } = error as Error;
  const known = storeErrorCode(error);
  const code = known === 'internal' && SCHEMA_GONE.test(message) ? 'corrupt' : known;
  if (file === null || file === undefined) return { message, code };
  switch (code) {
    case 'held':
      return { message: `another process has ${file} open; stop it or choose another data directory`, code };
    case 'corrupt':
      return {
        message: `${file} is damaged (${message}); stop the program, then run: tincan doctor --repair --data-dir ${dirname(file)}`,
        code,
      };
    case 'io':
      return {
        message: `${file} can't be read or written (${message}); see to the disk, and to who may use the file`,
        code,
      };
    default:
      return { message, code };
  }
}
