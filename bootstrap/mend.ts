import { hash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { PREKEY_ROW_BYTES } from './prekey-table.ts';

/** What a salvaged store lacks. */
export interface BootstrapLosses {
  /** Messages that waited for somebody. */
  blobs: number;
  /** Names, as far as they are still known. */
  names: string[];
}

/** Makes a store whole again after a salvage: what can't be what was deposited goes. */
export function mendBootstrapStore(database: DatabaseSync): BootstrapLosses {
  const count = (sql: string): number => Number(database.prepare(sql).get()!['n']);
  database.exec(`
    INSERT OR IGNORE INTO mailbox_peer (number, peer_id, seen_at_ms)
      SELECT row, value, unixepoch() * 1000 FROM lost_columns WHERE of_table = 'mailbox_peer' AND name = 'peer_id';
    -- Positions may be given a second time from now on: cookies of before are for another table.
    DELETE FROM registration_epoch;
  `);
  let blobs = count(`
    SELECT count(*) AS n FROM lost_columns WHERE of_table = 'mailbox_blob' AND name = 'recipient'
      AND row NOT IN (SELECT number FROM mailbox_blob)`);
  const remove = database.prepare('DELETE FROM mailbox_blob WHERE number = ?');
  const damaged: number[] = [];
  for (const { number, id, blob } of database
    .prepare('SELECT number, blob_id AS id, blob FROM mailbox_blob')
    .iterate()) {
    if (!hash('sha256', blob as Uint8Array, 'buffer').equals(id as Uint8Array))
      damaged.push(number as number);
  }
  for (const number of damaged) remove.run(number);
  blobs += damaged.length;
  blobs += Number(
    database
      .prepare(
        `DELETE FROM mailbox_blob WHERE recipient NOT IN (SELECT number FROM mailbox_peer)
         OR depositor NOT IN (SELECT number FROM mailbox_peer)`,
      )
      .run().changes,
  );
  database.exec(`
    DELETE FROM mailbox_block_usage;
    INSERT INTO mailbox_block_usage SELECT count(*) FROM mailbox_block;
  `);
  mendPrekeys(database);
  const names = database
    .prepare(
      `SELECT value FROM lost_columns WHERE of_table = 'name' AND name = 'name'
       AND value NOT IN (SELECT name FROM name) ORDER BY value`,
    )
    .all()
    .map(({ value }) => value as string);
  return { blobs, names };
}

/**
 * One-time prekeys all go: one that had been handed out may have come back with a page that was free, and nothing tells
 * whether the others are what their owners left. Owners notice when they count them, and leave new ones. Last-resort
 * prekeys may be handed out twice, and takers check their signatures.
 */
function mendPrekeys(database: DatabaseSync): void {
  database.exec(`
    INSERT OR IGNORE INTO prekey_owner (number, peer_id)
      SELECT row, value FROM lost_columns WHERE of_table = 'prekey_owner' AND name = 'peer_id';
    DELETE FROM prekey WHERE last_resort <> 1 OR owner NOT IN (SELECT number FROM prekey_owner);
    DELETE FROM prekey_owner WHERE number NOT IN (SELECT owner FROM prekey);
    DELETE FROM prekey_usage;
  `);
  database
    .prepare('INSERT INTO prekey_usage SELECT coalesce(sum(length(prekey) + ?), 0) FROM prekey')
    .run(PREKEY_ROW_BYTES);
}
