import { closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { serveStore, STORE_PRAGMAS } from '../protocols/group-commit/worker.ts';
import { REGISTRATION_LIMITS } from './limits.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import { MAILBOX_SCHEMA, mailboxTable } from './mailbox-table.ts';
import type { MailboxOperations } from './mailbox-table.ts';
import { NAMES_SCHEMA, nameTable } from './name-table.ts';
import type { NameOperations } from './name-table.ts';
import { PHONEBOOK_LIMITS } from './phonebook-limits.ts';
import { REGISTRATION_SCHEMA, registrationTable } from './registration-table.ts';
import type { RegistrationOperations } from './registration-table.ts';

export interface BootstrapStoreInit {
  /** The database file. */
  file: string;
  mailboxLimits: MailboxLimits;
}

/** What the bootstrap node's one store can do. */
export type BootstrapOperations = RegistrationOperations & NameOperations & MailboxOperations;

/** What brings a database of version n to version n + 1, in this order. Never edited once released, only added to. */
const MIGRATIONS: readonly string[] = [REGISTRATION_SCHEMA + NAMES_SCHEMA + MAILBOX_SCHEMA];

/**
 * SQLite makes files that everybody may read, and gives those beside the database the mode of the database. A file
 * that is there must not be opened here: closing it again would drop every lock this process has on it.
 */
function createPrivate(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, 'wx', 0o600));
}

function migrate(database: DatabaseSync): void {
  const version = Number(database.prepare('PRAGMA user_version').get()!['user_version']);
  if (version > MIGRATIONS.length) {
    throw new StoreError(
      `the database is of version ${version} and this program knows up to ${MIGRATIONS.length}; use a newer Tincan`,
      'newer-version',
    );
  }
  if (version === MIGRATIONS.length) return;
  database.exec('BEGIN');
  for (const migration of MIGRATIONS.slice(version)) database.exec(migration);
  database.exec(`PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`);
}

serveStore(({ file, mailboxLimits }: BootstrapStoreInit) => {
  createPrivate(file);
  const database = new DatabaseSync(file);
  try {
    database.exec(STORE_PRAGMAS);
    migrate(database);
    const tables = [
      registrationTable(database, REGISTRATION_LIMITS),
      nameTable(database, PHONEBOOK_LIMITS),
      mailboxTable(database, mailboxLimits),
    ] as const;
    const operations: BootstrapOperations = {
      ...tables[0].operations,
      ...tables[1].operations,
      ...tables[2].operations,
    };
    return {
      database,
      operations,
      rolledBack: () => {
        for (const table of tables) table.rolledBack();
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
});
