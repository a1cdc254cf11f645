import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { RendezvousRefusalCode } from '../protocols/rendezvous/errors.ts';
import { decodeCookie, encodeCookie, EPOCH_BYTES } from './registration-cookie.ts';

/** Every registration gets the next position, a renewed one too, so that a cookie's holder learns of both. */
export const REGISTRATION_SCHEMA = `
  CREATE TABLE IF NOT EXISTS registrations (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    peer_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    signed_peer_record BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    UNIQUE (peer_id, namespace)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS registrations_by_namespace ON registrations (namespace, position);
  CREATE INDEX IF NOT EXISTS registrations_by_expiry ON registrations (expires_at_ms);
  CREATE TABLE IF NOT EXISTS registration_epoch (epoch BLOB NOT NULL) STRICT;
`;

export interface RegistrationLimits {
  /** Registrations of one peer. */
  maxPerPeer: number;
  /** Registrations of everybody. */
  maxTotal: number;
  /** Registrations in one page of a discovery. */
  maxPage: number;
  /** Bytes of one page. */
  maxPageBytes: number;
}

/** Expired rows deleted with each new registration: more than come in, so that none pile up, and never a long wait. */
const SWEEP_ROWS = 20;

/** What the encoding of one registration adds to its record and namespace at the most. */
const ENTRY_OVERHEAD_BYTES = 32;

export interface RegistrationRefusal {
  refusal: RendezvousRefusalCode;
  reason: string;
}

export interface RegistrationRow {
  peerId: string;
  namespace: string;
  signedPeerRecord: Uint8Array;
  expiresAtMs: number;
}

export type RegistrationOperations = {
  'registrations.add': (
    row: RegistrationRow & { nowMs: number },
  ) => { refused: RegistrationRefusal } | { refused: undefined };
  'registrations.remove': (key: { peerId: string; namespace: string }) => void;
  'registrations.discover': (query: {
    namespace: string | undefined;
    limit: number;
    cookie: Uint8Array | undefined;
    nowMs: number;
  }) =>
    | { refused: RegistrationRefusal }
    | { refused: undefined; registrations: RegistrationRow[]; cookie: Uint8Array };
  'registrations.count': (query: { nowMs: number }) => number;
};

/** The rendezvous registrations, in the bootstrap node's one database. Runs in the store's worker. */
export function registrationTable(
  database: DatabaseSync,
  limits: RegistrationLimits,
): { operations: RegistrationOperations; rolledBack: () => void } {
  const selectEpoch = database.prepare('SELECT epoch FROM registration_epoch');
  if (selectEpoch.get() === undefined) {
    database.prepare('INSERT INTO registration_epoch VALUES (?)').run(randomBytes(EPOCH_BYTES));
  }
  const { epoch } = selectEpoch.get() as { epoch: Uint8Array };

  const countAll = database.prepare('SELECT count(*) AS count FROM registrations');
  const countLive = database.prepare('SELECT count(*) AS count FROM registrations WHERE expires_at_ms > ?');
  const countOfPeer = database.prepare('SELECT count(*) AS count FROM registrations WHERE peer_id = ?');
  const remove = database.prepare('DELETE FROM registrations WHERE peer_id = ? AND namespace = ?');
  const sweep = database.prepare(
    'DELETE FROM registrations WHERE position IN (SELECT position FROM registrations WHERE expires_at_ms <= ? LIMIT ?)',
  );
  const insert = database.prepare(
    'INSERT INTO registrations (peer_id, namespace, signed_peer_record, expires_at_ms) VALUES (?, ?, ?, ?)',
  );
  // The plus keeps SQLite from walking the index on expiry, whose order is not that of the positions.
  const columns =
    'SELECT position, peer_id, namespace, signed_peer_record, expires_at_ms FROM registrations WHERE';
  const selectAll = database.prepare(`${columns} position > ? AND +expires_at_ms > ? ORDER BY position`);
  const selectNamespace = database.prepare(
    `${columns} position > ? AND +expires_at_ms > ? AND namespace = ? ORDER BY position`,
  );

  /** Rows in the table, kept here because counting them at each registration would cost more than the registration. */
  let total: number | undefined;
  const rows = (): number => (total ??= Number(countAll.get()!['count']));
  const deleted = (changes: number | bigint): void => {
    total = rows() - Number(changes);
  };

  return {
    operations: {
      'registrations.add': ({ peerId, namespace, signedPeerRecord, expiresAtMs, nowMs }) => {
        rows();
        deleted(sweep.run(nowMs, SWEEP_ROWS).changes);
        const renewed = Number(remove.run(peerId, namespace).changes);
        deleted(renewed);
        if (renewed === 0) {
          if (Number(countOfPeer.get(peerId)!['count']) >= limits.maxPerPeer) {
            const reason = `a peer may have ${limits.maxPerPeer} registrations; unregister one first`;
            return { refused: { refusal: 'not-authorized', reason } };
          }
          if (rows() >= limits.maxTotal) {
            const reason = 'this rendezvous point is full; try another, or this one later';
            return { refused: { refusal: 'unavailable', reason } };
          }
        }
        insert.run(peerId, namespace, signedPeerRecord, expiresAtMs);
        total = rows() + 1;
        return { refused: undefined };
      },

      'registrations.remove': ({ peerId, namespace }) => {
        rows();
        deleted(remove.run(peerId, namespace).changes);
      },

      'registrations.discover': ({ namespace, limit, cookie, nowMs }) => {
        let position = 0;
        if (cookie !== undefined) {
          const decoded = decodeCookie(cookie);
          if (decoded === undefined || Buffer.compare(decoded.epoch, epoch) !== 0) {
            const reason = 'the cookie is not from this rendezvous point; discover without it';
            return { refused: { refusal: 'invalid-cookie', reason } };
          }
          if (decoded.namespace !== namespace) {
            const reason = 'the cookie is for another namespace; discover without it';
            return { refused: { refusal: 'invalid-cookie', reason } };
          }
          position = decoded.position;
        }
        const found =
          namespace === undefined
            ? selectAll.iterate(position, nowMs)
            : selectNamespace.iterate(position, nowMs, namespace);
        const registrations: RegistrationRow[] = [];
        let bytes = 0;
        for (const row of found) {
          const registration: RegistrationRow = {
            peerId: row['peer_id'] as string,
            namespace: row['namespace'] as string,
            signedPeerRecord: row['signed_peer_record'] as Uint8Array,
            expiresAtMs: row['expires_at_ms'] as number,
          };
          bytes +=
            registration.signedPeerRecord.byteLength +
            Buffer.byteLength(registration.namespace) +
            ENTRY_OVERHEAD_BYTES;
          if (bytes > limits.maxPageBytes) break;
          registrations.push(registration);
          position = row['position'] as number;
          if (registrations.length >= Math.min(limit, limits.maxPage)) break;
        }
        return { refused: undefined, registrations, cookie: encodeCookie({ epoch, position, namespace }) };
      },

      'registrations.count': ({ nowMs }) => Number(countLive.get(nowMs)!['count']),
    },
    rolledBack: () => {
      total = undefined;
    },
  };
}
