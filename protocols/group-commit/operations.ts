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
