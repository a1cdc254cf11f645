import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import { INVITES_SCHEMA } from './invites.ts';
import { REQUESTS_SCHEMA } from './requests.ts';
import type { SealedColumns } from './sealed-columns.ts';
import { sealStore } from './sealing.ts';
import { SESSIONS_SCHEMA } from './sessions-schema.ts';
import { STANDINGS_SCHEMA } from './standings.ts';
import { VERIFICATION_SCHEMA } from './verification.ts';

/**
 * The daemon's store. Peers and chains have small integer keys of their own, so that an index entry of a message is a
 * few bytes. `body` is the encoded Message as its author wrote it: what is sent again is what was sent, and the hash
 * chain can be checked from disk. Rows of `messages` are never deleted, so `row` only grows and serves as the order of arrival.
 *
 * The state of an own message is not a column: it is derived from its chain's `delivered`, `stored` and `read_to`, which
 * hold for thousands of messages at once, and from `failures`.
 *
 * What says who or what is sealed in later versions: sealing.ts, docs/adr/0010-at-rest.md.
 *
 * A message that its author has sent again in another chain (docs/adr/0005-chains-of-counters.md) has its row there;
 * `former_places` keeps what it was known as before.
 */
const SCHEMA = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE peers (
    id INTEGER PRIMARY KEY,
    peer_id TEXT NOT NULL UNIQUE,
    card BLOB,
    certificate BLOB,
    addresses TEXT,
    unread INTEGER NOT NULL DEFAULT 0,
    read_row INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE contacts (
    peer INTEGER PRIMARY KEY REFERENCES peers,
    petname TEXT UNIQUE,
    added_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE pins (
    name TEXT NOT NULL,
    phonebook TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (name, phonebook)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE chains (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers,
    direction INTEGER NOT NULL,
    chain BLOB NOT NULL,
    last_counter INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    clock_ms INTEGER NOT NULL,
    clock_count INTEGER NOT NULL,
    delivered TEXT NOT NULL,
    stored TEXT NOT NULL,
    stored_ms INTEGER NOT NULL,
    read_to INTEGER NOT NULL,
    ack_owed INTEGER NOT NULL,
    lacking TEXT NOT NULL,
    UNIQUE (peer, direction, chain)
  ) STRICT;
  CREATE TABLE messages (
    row INTEGER PRIMARY KEY,
    chain INTEGER NOT NULL REFERENCES chains,
    counter INTEGER NOT NULL,
    peer INTEGER NOT NULL,
    direction INTEGER NOT NULL,
    clock_ms INTEGER NOT NULL,
    clock_count INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    id BLOB NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX messages_by_counter ON messages (chain, counter);
  CREATE INDEX messages_by_clock ON messages (peer, clock_ms, clock_count);
  CREATE UNIQUE INDEX messages_by_id ON messages (id, peer, direction);
  CREATE TABLE former_places (
    chain INTEGER NOT NULL REFERENCES chains,
    counter INTEGER NOT NULL,
    row INTEGER NOT NULL REFERENCES messages,
    body BLOB NOT NULL,
    PRIMARY KEY (chain, counter)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE failures (row INTEGER PRIMARY KEY REFERENCES messages, reason TEXT NOT NULL) STRICT;
`;

/** SQL, or what is to be done beside it. */
type Migration = string | ((database: DatabaseSync, sealed: SealedColumns) => void);

/** What brings a database of version n to version n + 1, in this order. Never edited once released, only added to. */
const MIGRATIONS: readonly Migration[] = [
  SCHEMA,
  VERIFICATION_SCHEMA,
  sealStore,
  SESSIONS_SCHEMA,
  STANDINGS_SCHEMA + REQUESTS_SCHEMA + INVITES_SCHEMA,
];

/** The first version in which nothing that says who or what lies open. */
export const SEALED_VERSION = MIGRATIONS.indexOf(sealStore) + 1;

/** What a store of this version of the program has in `user_version`. */
export const NODE_STORE_VERSION = MIGRATIONS.length;

/**
 * Brings a file to a version of the schema; a new file gets all its tables. Of a file that was not sealed, nothing of
 * what lay open is left in it.
 *
 * @throws StoreError `newer-version` when a newer Tincan wrote it
 */
export function migrate(
  database: DatabaseSync,
  sealed: SealedColumns,
  to: number = NODE_STORE_VERSION,
): void {
  const version = Number(database.prepare('PRAGMA user_version').get()!['user_version']);
  if (version > NODE_STORE_VERSION) {
    throw new StoreError(
      `the store has version ${version}, this Tincan knows ${NODE_STORE_VERSION}: update it`,
      'newer-version',
    );
  }
  if (version >= to) return;
  const leavesTraces = version > 0 && version < SEALED_VERSION && to >= SEALED_VERSION;
  // What was deleted before is still in the file; and a disk that is full is met while nothing has been done.
  if (leavesTraces) database.exec('VACUUM; PRAGMA secure_delete = ON');
  const keys = Number(database.prepare('PRAGMA foreign_keys').get()!['foreign_keys']);
  // Tables are replaced by others that those which refer to them know by the same name.
  database.exec('PRAGMA foreign_keys = OFF; BEGIN');
  try {
    for (const migration of MIGRATIONS.slice(version, to)) {
      if (typeof migration === 'string') database.exec(migration);
      else migration(database, sealed);
    }
    database.exec(`PRAGMA user_version = ${to}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  } finally {
    database.exec(`PRAGMA foreign_keys = ${keys}; PRAGMA secure_delete = OFF`);
  }
  if (leavesTraces) database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
}
