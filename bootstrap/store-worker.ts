import { closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { finishRepair, refuseTruncated } from '../protocols/group-commit/repair.ts';
import { serveStore, STORE_PRAGMAS } from '../protocols/group-commit/worker.ts';
import { REGISTRATION_LIMITS } from './limits.ts';
import type { MailboxBlockLimits } from './mailbox-block-limits.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import { mailboxTable } from './mailbox-table.ts';
import type { MailboxOperations } from './mailbox-table.ts';
import { nameTable } from './name-table.ts';
import type { NameOperations } from './name-table.ts';
import { PHONEBOOK_LIMITS } from './phonebook-limits.ts';
import type { PrekeyLimits } from './prekey-limits.ts';
import { prekeyTable } from './prekey-table.ts';
import type { PrekeyOperations } from './prekey-table.ts';
import { registrationTable } from './registration-table.ts';
import type { RegistrationOperations } from './registration-table.ts';
import { BOOTSTRAP_STORE_VERSION, migrate } from './schema.ts';

export interface BootstrapStoreInit {
  /** The database file. */
  file: string;
  mailboxLimits: MailboxLimits;
  mailboxBlockLimits: MailboxBlockLimits;
  prekeyLimits: PrekeyLimits;
}

/** What the bootstrap node's one store can do. */
export type BootstrapOperations = RegistrationOperations &
  NameOperations &
  MailboxOperations &
  PrekeyOperations & {
    /** Commits, and changes nothing. */
    'store.probe': (request: null) => void;
  };

/**
 * SQLite makes files that everybody may read, and gives those beside the database the mode of the database. A file
 * that is there must not be opened here: closing it again would drop every lock this process has on it.
 */
function createPrivate(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, 'wx', 0o600));
}

serveStore(({ file, mailboxLimits, mailboxBlockLimits, prekeyLimits }: BootstrapStoreInit) => {
  finishRepair(file);
  refuseTruncated(file);
  createPrivate(file);
  const database = new DatabaseSync(file);
  try {
    database.exec(STORE_PRAGMAS);
    migrate(database);
    const tables = [
      registrationTable(database, REGISTRATION_LIMITS),
      nameTable(database, PHONEBOOK_LIMITS),
      mailboxTable(database, mailboxLimits, mailboxBlockLimits),
      prekeyTable(database, prekeyLimits),
    ] as const;
    const operations: BootstrapOperations = {
      ...tables[0].operations,
      ...tables[1].operations,
      ...tables[2].operations,
      ...tables[3].operations,
      'store.probe': () => database.exec(`PRAGMA user_version = ${BOOTSTRAP_STORE_VERSION}`),
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
