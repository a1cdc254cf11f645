import { DatabaseSync } from 'node:sqlite';
import { REGISTRATION_LIMITS } from '../../../bootstrap/limits.ts';
import { mailboxBlockLimits } from '../../../bootstrap/mailbox-block-limits.ts';
import { mailboxLimits } from '../../../bootstrap/mailbox-limits.ts';
import { mailboxTable } from '../../../bootstrap/mailbox-table.ts';
import { nameTable } from '../../../bootstrap/name-table.ts';
import { PHONEBOOK_LIMITS } from '../../../bootstrap/phonebook-limits.ts';
import { prekeyLimits } from '../../../bootstrap/prekey-limits.ts';
import { prekeyTable } from '../../../bootstrap/prekey-table.ts';
import { registrationTable } from '../../../bootstrap/registration-table.ts';
import { migrate } from '../../../bootstrap/schema.ts';
import { newDataKey } from '../../../node/at-rest/data-key.ts';
import { openNodeStore } from '../../../node/store/file.ts';

const NO_MAILBOXES = {
  mailboxBlobs: 1,
  mailboxBytes: 1,
  mailboxBlobsPerSender: 1,
  mailboxTotalBytes: 1,
  depositsPerMinute: 1,
};

/** The names of all operations of a daemon's store. */
export function daemonOperations(): string[] {
  const { database, operations } = openNodeStore({
    file: ':memory:',
    dataKey: newDataKey,
  });
  database.close();
  return Object.keys(operations);
}

/** The names of all operations of a bootstrap node's store. */
export function bootstrapOperations(): string[] {
  const database = new DatabaseSync(':memory:');
  migrate(database);
  const tables = [
    registrationTable(database, REGISTRATION_LIMITS),
    nameTable(database, PHONEBOOK_LIMITS),
    mailboxTable(database, mailboxLimits(NO_MAILBOXES), mailboxBlockLimits(NO_MAILBOXES)),
    prekeyTable(database, prekeyLimits(NO_MAILBOXES)),
  ];
  database.close();
  return tables.flatMap(({ operations }) => Object.keys(operations));
}
