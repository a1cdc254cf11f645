import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { serveStore, STORE_PRAGMAS } from '../protocols/group-commit/worker.ts';
import { REGISTRATION_LIMITS } from './limits.ts';
import { REGISTRATION_SCHEMA, registrationTable } from './registration-table.ts';
import type { RegistrationOperations } from './registration-table.ts';

export interface BootstrapStoreInit {
  /** The database file. */
  file: string;
}

/** What the bootstrap node's one store can do. */
export type BootstrapOperations = RegistrationOperations;

/** What brings a database of version n to version n + 1, in this order. Never edited once released, only added to. */
const MIGRATIONS: readonly string[] = [REGISTRATION_SCHEMA];

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

serveStore(({ file }: BootstrapStoreInit) => {
  const database = new DatabaseSync(file);
  try {
    database.exec(STORE_PRAGMAS);
    migrate(database);
    const registrations = registrationTable(database, REGISTRATION_LIMITS);
    return {
      database,
      operations: { ...registrations.operations },
      rolledBack: () => {
        registrations.rolledBack();
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
});
