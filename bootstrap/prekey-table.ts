import type { DatabaseSync } from 'node:sqlite';
import type { HeldPrekey } from '../protocols/mailbox/prekey-frames.ts';
import type { PrekeyLimits } from './prekey-limits.ts';
import { usedBytesOf } from './used-bytes.ts';

/**
 * One-time prekeys are handed out in the order of their rows. Owners have numbers of their own, which last as long as they
 * have a prekey. What all prekeys take stands in a row, since adding it up would read the whole table.
 */
export const PREKEY_SCHEMA = `
  CREATE TABLE prekey_owner (
    number INTEGER PRIMARY KEY,
    peer_id BLOB NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE prekey (
    number INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    last_resort INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    id BLOB NOT NULL,
    prekey BLOB NOT NULL
  ) STRICT;
  CREATE INDEX prekey_by_owner ON prekey (owner, last_resort);
  CREATE INDEX prekey_by_expiry ON prekey (expires_at_ms);
  CREATE TABLE prekey_usage (bytes INTEGER NOT NULL) STRICT;
  INSERT INTO prekey_usage VALUES (0);
`;

/** What a row and its index entries take beside the prekey. */
export const PREKEY_ROW_BYTES = 128;

/** Rows that a sweep deletes in one call: about a millisecond, in which others wait. */
const SWEEP_ROWS = 500;

/** Prekeys of one owner, already checked one by one. */
export interface PublishRequest {
  /** Peer id bytes. */
  owner: Uint8Array;
  oneTime: HeldPrekey[];
  lastResort: HeldPrekey | undefined;
  replace: boolean;
  nowMs: number;
}

export interface TakeRequest {
  /** Peer id bytes of the recipient. */
  owner: Uint8Array;
  /** Whether the taker may have a one-time prekey. */
  oneTime: boolean;
  nowMs: number;
}

/** The operations of the store that belong to prekeys. */
export type PrekeyOperations = {
  /** Keeps all of a publication, or nothing of it. `left` are the one-time prekeys that are held afterwards. */
  'prekeys.publish': (request: PublishRequest) => {
    outcome: 'published' | 'full' | 'store-full';
    left: number;
  };
  /**
   * Hands out the next one-time prekey and deletes it; without one, or if the taker may have none, the newest last-resort
   * prekey. `withheld` says that there are one-time prekeys, and nothing for this taker.
   */
  'prekeys.take': (request: TakeRequest) => {
    taken: { prekey: HeldPrekey; lastResort: boolean } | undefined;
    withheld: boolean;
  };
  'prekeys.count': (request: { owner: Uint8Array; nowMs: number }) => {
    oneTimeIds: Uint8Array[];
    lastResortId: Uint8Array | undefined;
  };
  /** Deletes some of what is expired; `more` when there may be more. */
  'prekeys.expire': (request: { nowMs: number }) => { expired: number; more: boolean };
  /** What all prekeys take, in bytes. */
  'prekeys.totals': (request: null) => { bytes: number };
};

interface Row {
  number: number;
  lastResort: boolean;
  expiresMs: number;
  id: Uint8Array;
  bytes: number;
}

const idKey = (id: Uint8Array): string =>
  Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');

/** The prekeys' part of a bootstrap node's store; runs in its worker. It keeps nothing in memory. */
export function prekeyTable(
  database: DatabaseSync,
  limits: Pick<PrekeyLimits, 'oneTime' | 'lastResort' | 'totalBytes' | 'storeBytes'>,
): { operations: PrekeyOperations; rolledBack: () => void } {
  const ownerOf = database.prepare('SELECT number FROM prekey_owner WHERE peer_id = ?');
  const insertOwner = database.prepare('INSERT INTO prekey_owner (peer_id) VALUES (?)');
  const removeOwner = database.prepare(
    'DELETE FROM prekey_owner WHERE number = ? AND NOT EXISTS (SELECT 1 FROM prekey WHERE owner = ?)',
  );
  const insert = database.prepare(
    'INSERT INTO prekey (owner, last_resort, expires_at_ms, id, prekey) VALUES (?, ?, ?, ?, ?)',
  );
  const remove = database.prepare('DELETE FROM prekey WHERE number = ?');
  const rowsOf = database.prepare(
    `SELECT number, last_resort, expires_at_ms, id, length(prekey) AS bytes FROM prekey
     WHERE owner = ? ORDER BY number`,
  );
  const next = database.prepare(
    `SELECT number, expires_at_ms, id, prekey FROM prekey
     WHERE owner = ? AND last_resort = 0 AND expires_at_ms > ? ORDER BY number LIMIT 1`,
  );
  const newest = database.prepare(
    `SELECT number, expires_at_ms, id, prekey FROM prekey
     WHERE owner = ? AND last_resort = 1 AND expires_at_ms > ? ORDER BY number DESC LIMIT 1`,
  );
  const expired = database.prepare(
    `SELECT number, owner, length(prekey) AS bytes FROM prekey
     WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?`,
  );
  const usage = database.prepare('SELECT bytes FROM prekey_usage');
  const use = database.prepare('UPDATE prekey_usage SET bytes = bytes + ?');
  const usedBytes = usedBytesOf(database);
  const allBytes = (): number => Number(usage.get()!['bytes']);

  const find = (owner: Uint8Array): number | undefined => {
    const row = ownerOf.get(owner);
    return row === undefined ? undefined : (row['number'] as number);
  };

  const rows = (owner: number | undefined): Row[] =>
    owner === undefined
      ? []
      : rowsOf.all(owner).map((row) => ({
          number: row['number'] as number,
          lastResort: row['last_resort'] === 1,
          expiresMs: row['expires_at_ms'] as number,
          id: row['id'] as Uint8Array,
          bytes: PREKEY_ROW_BYTES + (row['bytes'] as number),
        }));

  const held = (row: Record<string, unknown> | undefined) =>
    row === undefined
      ? undefined
      : {
          number: row['number'] as number,
          prekey: {
            id: row['id'] as Uint8Array,
            expiresMs: row['expires_at_ms'] as number,
            prekey: row['prekey'] as Uint8Array,
          },
        };

  const sizeOf = (prekeys: readonly HeldPrekey[]): number =>
    prekeys.reduce((sum, { prekey }) => sum + PREKEY_ROW_BYTES + prekey.byteLength, 0);

  return {
    operations: {
      'prekeys.publish': ({ owner, oneTime, lastResort, replace, nowMs }) => {
        const known = find(owner);
        const before = rows(known);
        const published = lastResort === undefined ? oneTime : [...oneTime, lastResort];
        const ids = new Set(published.map(({ id }) => idKey(id)));
        const live = before.filter(({ expiresMs }) => expiresMs > nowMs);
        // What is published again under its id takes the place of what was there.
        const stay = replace ? [] : live.filter(({ id }) => !ids.has(idKey(id)));
        const oneTimes = stay.filter((row) => !row.lastResort);
        const lastResorts = stay.filter((row) => row.lastResort);
        const tooMany = lastResorts.length + published.length - oneTime.length - limits.lastResort;
        const kept = new Set([...oneTimes, ...lastResorts.slice(Math.max(0, tooMany))]);
        const gone = before.filter((row) => !kept.has(row));
        const left = oneTimes.length + oneTime.length;
        const leftBefore = live.filter((row) => !row.lastResort).length;
        if (left > limits.oneTime) return { outcome: 'full', left: leftBefore };
        const more = sizeOf(published) - gone.reduce((sum, { bytes }) => sum + bytes, 0);
        if (more > 0 && (allBytes() + more > limits.totalBytes || usedBytes() + more > limits.storeBytes)) {
          return { outcome: 'store-full', left: leftBefore };
        }
        for (const { number } of gone) remove.run(number);
        if (published.length > 0) {
          const number = known ?? Number(insertOwner.run(owner).lastInsertRowid);
          for (const { id, expiresMs, prekey } of oneTime) insert.run(number, 0, expiresMs, id, prekey);
          if (lastResort !== undefined) {
            insert.run(number, 1, lastResort.expiresMs, lastResort.id, lastResort.prekey);
          }
        } else if (known !== undefined) removeOwner.run(known, known);
        if (more !== 0) use.run(more);
        return { outcome: 'published', left };
      },

      'prekeys.take': ({ owner, oneTime, nowMs }) => {
        const number = find(owner);
        if (number === undefined) return { taken: undefined, withheld: false };
        const first = held(next.get(number, nowMs));
        if (oneTime && first !== undefined) {
          remove.run(first.number);
          removeOwner.run(number, number);
          use.run(-sizeOf([first.prekey]));
          return { taken: { prekey: first.prekey, lastResort: false }, withheld: false };
        }
        const last = held(newest.get(number, nowMs));
        if (last === undefined) return { taken: undefined, withheld: first !== undefined };
        return { taken: { prekey: last.prekey, lastResort: true }, withheld: false };
      },

      'prekeys.count': ({ owner, nowMs }) => {
        const live = rows(find(owner)).filter(({ expiresMs }) => expiresMs > nowMs);
        return {
          oneTimeIds: live.filter((row) => !row.lastResort).map(({ id }) => id),
          lastResortId: live.findLast((row) => row.lastResort)?.id,
        };
      },

      'prekeys.expire': ({ nowMs }) => {
        const some = expired.all(nowMs, SWEEP_ROWS);
        let bytes = 0;
        for (const row of some) {
          remove.run(row['number'] as number);
          bytes += PREKEY_ROW_BYTES + (row['bytes'] as number);
        }
        for (const owner of new Set(some.map((row) => row['owner'] as number))) removeOwner.run(owner, owner);
        if (bytes > 0) use.run(-bytes);
        return { expired: some.length, more: some.length === SWEEP_ROWS };
      },

      'prekeys.totals': () => ({ bytes: allBytes() }),
    },

    rolledBack: () => undefined,
  };
}
