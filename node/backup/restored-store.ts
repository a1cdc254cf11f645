import { DatabaseSync } from 'node:sqlite';
import { openChains } from '../store/chains.ts';
import { chainForks } from '../store/forks.ts';
import { OUTGOING } from '../store/direction.ts';
import type { SealedColumns } from '../store/sealed-columns.ts';

/** In `meta`, of a store that comes out of a backup and was not opened since. Its value says when the backup was made. */
const MARK_KEY = 'restored from a backup of';

/** The senders' side of sealed sessions, and what they are opened with. */
const FORGET_OUTGOING_SESSIONS = 'DELETE FROM outgoing_sessions; DELETE FROM received_prekeys';

/**
 * Makes the store of a backup from a copy of a daemon's: without the sessions that the daemon goes on with, with the mark by
 * which the restored one knows what it is, and without the pages in which deleted keys may still stand. Everything sealed
 * stays sealed.
 *
 * @param copy a database file that nobody else has open
 * @param to a file that is not there yet
 */
export function storeForBackup(
  copy: string,
  to: string,
  { sealed, madeMs }: { sealed: SealedColumns; madeMs: number },
): void {
  const database = new DatabaseSync(copy);
  try {
    // Nobody needs this copy when the power fails; the log would be a file beside it.
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; BEGIN');
    database.exec(FORGET_OUTGOING_SESSIONS);
    const key = sealed.metaIndex(MARK_KEY);
    database
      .prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)')
      .run(key, sealed.meta.sealText(String(madeMs), key));
    database.exec('COMMIT');
    database.prepare('VACUUM INTO ?').run(to);
  } finally {
    database.close();
  }
}

/**
 * What a daemon does first of all when its store comes out of a backup: the machine that the backup was made on has gone
 * on since, and nothing that it did may be done a second time in another way.
 *
 * - Sealed sessions to others, and the prekeys that others gave us to open new ones, are dropped: they may be used up.
 * - To everybody who was written to, a new chain of counters begins, with what was not known to be delivered
 *   (docs/adr/0005-chains-of-counters.md). Friends would tell, but only in an acknowledgement, and that may take until a
 *   mailbox has come back.
 *
 * Prekeys of ours that mailboxes hold and that are not here need nothing: a mailbox says what it holds, and what is not
 * ours is replaced then.
 *
 * Done once, in one transaction with the removal of the mark.
 *
 * @returns when the backup was made, milliseconds since 1970; undefined when this store comes out of none
 * @throws StoreError `corrupt`
 */
export function beginAfterRestore(database: DatabaseSync, sealed: SealedColumns): number | undefined {
  const key = sealed.metaIndex(MARK_KEY);
  const found = database.prepare('SELECT value FROM meta WHERE key = ?').get(key);
  if (found === undefined) return undefined;
  const madeMs = Number(sealed.meta.openText(found['value'] as Uint8Array, key));
  database.exec('BEGIN');
  try {
    database.exec(FORGET_OUTGOING_SESSIONS);
    beginChains(database, sealed);
    database.prepare('DELETE FROM meta WHERE key = ?').run(key);
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
  return madeMs;
}

/** What the user should know of it. */
export function describeRestore(madeMs: number): string {
  return (
    `this daemon was restored from a backup of ${new Date(madeMs).toISOString()}; the one that the backup was made of ` +
    'must not run any more'
  );
}

function beginChains(database: DatabaseSync, sealed: SealedColumns): void {
  const chains = openChains(database, sealed);
  const fork = chainForks(database, sealed, chains);
  const peers = database.prepare(`SELECT DISTINCT peer FROM chains WHERE direction = ${OUTGOING}`).all();
  // Of an empty one too: the first machine may have begun with it.
  for (const { peer } of peers) fork(chains.outgoing(peer as number));
}
