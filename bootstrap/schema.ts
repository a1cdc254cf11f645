import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { MAILBOX_BLOCK_SCHEMA } from './mailbox-block-table.ts';
import { MAILBOX_SCHEMA } from './mailbox-table.ts';
import { NAMES_SCHEMA } from './name-table.ts';
import { PREKEY_SCHEMA } from './prekey-table.ts';
import { REGISTRATION_SCHEMA } from './registration-table.ts';

/** What brings a database of version n to version n + 1, in this order. Never edited once released, only added to. */
const MIGRATIONS: readonly string[] = [
  REGISTRATION_SCHEMA + NAMES_SCHEMA + MAILBOX_SCHEMA,
  PREKEY_SCHEMA,
  MAILBOX_BLOCK_SCHEMA,
];

/** What a store of this version of the program has in `user_version`. */
export const BOOTSTRAP_STORE_VERSION = MIGRATIONS.length;

/**
 * Brings a file to a version of the schema; a new file gets all its tables.
 *
 * @throws StoreError `newer-version` when a newer Tincan wrote it
 */
export function migrate(database: DatabaseSync, to: number = BOOTSTRAP_STORE_VERSION): void {
  const version = Number(database.prepare('PRAGMA user_version').get()!['user_version']);
  if (version > BOOTSTRAP_STORE_VERSION) {
    throw new StoreError(
      `the database is of version ${version} and this program knows up to ${BOOTSTRAP_STORE_VERSION}; use a newer Tincan`,
      'newer-version',
    );
  }
  if (version >= to) return;
  database.exec('BEGIN');
  for (const migration of MIGRATIONS.slice(version, to)) database.exec(migration);
  database.exec(`PRAGMA user_version = ${to}; COMMIT`);
}
