import type { DatabaseSync } from 'node:sqlite';
import { CLOCK_TOLERANCE_MS } from '../protocols/phonebook/lifetimes.ts';

/**
 * A name without an owner was released, or lost by one who claimed another after it expired: its row stays, so that
 * the next certificate for it gets a higher seq than any that is still about.
 */
export const NAMES_SCHEMA = `
  CREATE TABLE IF NOT EXISTS name (
    name TEXT PRIMARY KEY,
    owner TEXT UNIQUE,
    seq INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    peer_record BLOB,
    contact_card BLOB,
    contact_card_expires_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS name_expires_ms ON name (expires_ms);
`;

/** Rows dropped when the table is full: a few milliseconds' work, and room for a while. */
const PURGED_AT_ONCE = 200;

/** What was last known of an owner. */
export interface OwnerDetails {
  peerRecord: Uint8Array | null;
  contactCard: Uint8Array | null;
  /** 0 without a card. */
  contactCardExpiresMs: number;
  lastSeenMs: number;
}

export interface NameRow extends OwnerDetails {
  name: string;
  owner: string;
  seq: number;
  expiresMs: number;
  certificate: Uint8Array;
}

/** Of a refused one nothing is kept. */
export type ClaimOutcome =
  | { outcome: 'ok' | 'taken' | 'full' }
  | { outcome: 'has-name'; name: string }
  | { outcome: 'stale-seq'; seq: number };

export type ReleaseOutcome =
  | { outcome: 'ok' | 'not-found' | 'not-yours' }
  | { outcome: 'stale-seq'; seq: number };

/** The operations of the store that belong to names. Peer ids are in base58, names normalised. */
export type NameOperations = {
  /** Gives a name to the first who asks, and keeps it its owner's until it expires. Asking again changes nothing. */
  'names.claim': (claim: NameRow & { nowMs: number }) => ClaimOutcome;
  'names.release': (release: { name: string; owner: string; seq: number; nowMs: number }) => ReleaseOutcome;
  /** By name or by owner; null when it is nobody's, or expired. */
  'names.get': (key: ({ name: string } | { owner: string }) & { nowMs: number }) => NameRow | null;
  /** Keeps what is known of an owner; nothing happens for one without a name. */
  'names.seen': (details: OwnerDetails & { owner: string }) => void;
  /** Names that have an owner. */
  'names.count': (at: { nowMs: number }) => number;
};

/** Names and their owners. Runs in the store's worker. */
export function nameTable(
  database: DatabaseSync,
  { maxNames }: { maxNames: number },
): { operations: NameOperations; rolledBack: () => void } {
  const byName = database.prepare('SELECT * FROM name WHERE name = ?');
  const byOwner = database.prepare('SELECT * FROM name WHERE owner = ?');
  const countAll = database.prepare('SELECT count(*) AS count FROM name');
  const countHeld = database.prepare(
    'SELECT count(*) AS count FROM name WHERE owner IS NOT NULL AND expires_ms > ?',
  );
  const purge = database.prepare(
    'DELETE FROM name WHERE name IN (SELECT name FROM name WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)',
  );
  const disown = database.prepare(
    'UPDATE name SET owner = NULL, peer_record = NULL, contact_card = NULL WHERE name = ?',
  );
  const see = database.prepare(`
    UPDATE name SET peer_record = ?, contact_card = ?, contact_card_expires_ms = ?, last_seen_ms = ?
    WHERE owner = ?`);
  const put = database.prepare(`
    INSERT INTO name (
      name, owner, seq, expires_ms, certificate,
      peer_record, contact_card, contact_card_expires_ms, last_seen_ms
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET
      owner = excluded.owner, seq = excluded.seq, expires_ms = excluded.expires_ms,
      certificate = excluded.certificate, peer_record = excluded.peer_record,
      contact_card = excluded.contact_card, contact_card_expires_ms = excluded.contact_card_expires_ms,
      last_seen_ms = excluded.last_seen_ms`);

  /** Rows in the table; undefined until counted. */
  let rows: number | undefined;

  const roomForOne = (nowMs: number): boolean => {
    rows ??= countAll.get()!['count'] as number;
    if (rows < maxNames) return true;
    // A day late, as clocks may differ by so much: a certificate forgotten here must be expired for everybody.
    rows -= Number(purge.run(nowMs - CLOCK_TOLERANCE_MS, PURGED_AT_ONCE).changes);
    return rows < maxNames;
  };

  const operations: NameOperations = {
    'names.claim'(claim) {
      const { name, owner, seq, nowMs } = claim;
      const row = read(byName.get(name));
      if (row !== null && row.owner !== null && row.owner !== owner && row.expiresMs > nowMs) {
        return { outcome: 'taken' };
      }
      const held = read(byOwner.get(owner));
      const other = held !== null && held.name !== name ? held : null;
      if (other !== null && other.expiresMs > nowMs) return { outcome: 'has-name', name: other.name };
      const again = row?.owner === owner && Buffer.compare(row.certificate, claim.certificate) === 0;
      // Long expired, a certificate is no rival: else a name claimed once with the highest seq would be lost for good.
      const isRival = row !== null && row.expiresMs + CLOCK_TOLERANCE_MS > nowMs;
      if (isRival && seq <= row.seq && !again) return { outcome: 'stale-seq', seq: row.seq };
      if (row === null) {
        if (!roomForOne(nowMs)) return { outcome: 'full' };
        rows = rows! + 1;
      }
      if (other !== null) disown.run(other.name);
      const { expiresMs, certificate, peerRecord, contactCard, contactCardExpiresMs, lastSeenMs } = claim;
      put.run(
        name,
        owner,
        seq,
        expiresMs,
        certificate,
        peerRecord,
        contactCard,
        contactCardExpiresMs,
        lastSeenMs,
      );
      return { outcome: 'ok' };
    },

    'names.release'({ name, owner, seq, nowMs }) {
      const row = read(byName.get(name));
      if (row === null || row.owner === null || row.expiresMs <= nowMs) return { outcome: 'not-found' };
      if (row.owner !== owner) return { outcome: 'not-yours' };
      if (seq < row.seq) return { outcome: 'stale-seq', seq: row.seq };
      disown.run(name);
      return { outcome: 'ok' };
    },

    'names.get'(key) {
      const row = read('name' in key ? byName.get(key.name) : byOwner.get(key.owner));
      if (row === null || row.owner === null || row.expiresMs <= key.nowMs) return null;
      return { ...row, owner: row.owner };
    },

    'names.seen'({ owner, peerRecord, contactCard, contactCardExpiresMs, lastSeenMs }) {
      see.run(peerRecord, contactCard, contactCardExpiresMs, lastSeenMs, owner);
    },

    'names.count': ({ nowMs }) => countHeld.get(nowMs)!['count'] as number,
  };
  return {
    operations,
    rolledBack: () => {
      rows = undefined;
    },
  };
}

type SqlRow = ReturnType<ReturnType<DatabaseSync['prepare']>['get']>;

function read(row: SqlRow): (Omit<NameRow, 'owner'> & { owner: string | null }) | null {
  if (row === undefined) return null;
  return {
    name: row['name'] as string,
    owner: row['owner'] as string | null,
    seq: row['seq'] as number,
    expiresMs: row['expires_ms'] as number,
    certificate: row['certificate'] as Uint8Array,
    peerRecord: row['peer_record'] as Uint8Array | null,
    contactCard: row['contact_card'] as Uint8Array | null,
    contactCardExpiresMs: row['contact_card_expires_ms'] as number,
    lastSeenMs: row['last_seen_ms'] as number,
  };
}
