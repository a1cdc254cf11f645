import type { DatabaseSync } from 'node:sqlite';
import { heldMailboxes, shareOf } from './held-mailboxes.ts';
import type { MailboxBlockLimits } from './mailbox-block-limits.ts';
import { mailboxBlocks } from './mailbox-block-table.ts';
import type { BlockRequest, BlockResult } from './mailbox-block-table.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import { numberedPeers } from './numbered-peers.ts';
import { usedBytesOf } from './used-bytes.ts';

/**
 * Blobs lie in the order of their deposit, so that storing one appends to the table; rows refer to peers by number, so that
 * a row and its index entry stay small. There is no index by blob id or expiry: what is needed to find duplicates and count
 * quotas is kept in memory for the mailboxes in use, and expired blobs are found by walking the table now and then.
 * No foreign keys: they would be looked up twice for each blob.
 */
export const MAILBOX_SCHEMA = `
  CREATE TABLE IF NOT EXISTS mailbox_peer (
    number INTEGER PRIMARY KEY,
    peer_id BLOB NOT NULL UNIQUE,
    seen_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS mailbox_blob (
    number INTEGER PRIMARY KEY,
    recipient INTEGER NOT NULL,
    depositor INTEGER NOT NULL,
    deposited_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    blob_id BLOB NOT NULL,
    blob BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS mailbox_blob_recipient ON mailbox_blob (recipient);
`;

/** What became of a deposit. Numbers of this store's own, so that its thread needs no codec. */
export const DepositOutcome = {
  STORED: 0,
  ALREADY_THERE: 1,
  FULL: 2,
  SENDER_FULL: 3,
  STORE_FULL: 4,
  STRANGERS_FULL: 5,
  STRANGER_FULL: 6,
  REFUSED: 7,
} as const;

/** Numbers of one deposit in `DepositBatch.fields`. */
export const DEPOSIT_FIELDS = 4;

/** In place of the time at which a capability was issued: there is none. */
export const NO_CAPABILITY = -1;

/** Rows a sweep looks at in one call: about a millisecond, in which deposits wait. */
const SWEEP_ROWS = 1000;

/** Deposits of one peer, packed: a handful of objects crosses to the worker's thread instead of five a deposit. */
export interface DepositBatch {
  nowMs: number;
  /** Peer id bytes. */
  depositor: Uint8Array;
  /** Peer id bytes, each once. */
  recipients: Uint8Array[];
  /**
   * For each deposit: index into `recipients`, time of expiry in milliseconds, where its bytes end in `bytes`, when the
   * depositor's valid capability was issued.
   */
  fields: Float64Array;
  /** For each deposit, one after the other: 32 bytes of blob id, the blob. */
  bytes: Uint8Array;
}

/** For each deposit of a batch. */
export interface DepositResults {
  /** `DepositOutcome`. */
  statuses: Uint8Array;
  /** Milliseconds since 1970, for what is held. */
  keptUntilMs: Float64Array;
}

export interface NextRequest {
  recipient: Uint8Array;
  /** The number of the last blob already taken, 0 for none. */
  after: number;
  maxBlobs: number;
  maxBytes: number;
  nowMs: number;
}

/** Blobs in the order of their deposit, packed as a DepositBatch is. */
export interface NextBlobs {
  numbers: number[];
  /** For each blob: index into `peers`. */
  depositors: number[];
  depositedAtMs: number[];
  lengths: number[];
  peers: Uint8Array[];
  bytes: Uint8Array;
  /** More is held than fitted. */
  more: boolean;
}

/** The operations of the store that belong to mailboxes. */
export type MailboxOperations = {
  /** Stores what the quotas allow. */
  'mailbox.deposit': (batch: DepositBatch) => DepositResults;
  /** What is held for a recipient, oldest first. */
  'mailbox.next': (request: NextRequest) => NextBlobs;
  /** Deletes what a recipient holds itself: everything up to a number. */
  'mailbox.acknowledge': (request: { recipient: Uint8Array; upTo: number }) => void;
  /** Deletes what is expired among the next rows; returns where to go on, 0 at the end. */
  'mailbox.expire': (request: { after: number; nowMs: number }) => { next: number; expired: number };
  /** Does all that an owner says about depositors, or nothing; what waits from those it blocks is deleted. */
  'mailbox.block': (request: BlockRequest) => BlockResult;
  'mailbox.totals': (request: null) => { blobs: number; blocks: number };
};

/** The mailboxes' part of a bootstrap node's store; runs in its worker. */
export function mailboxTable(
  database: DatabaseSync,
  limits: Pick<MailboxLimits, 'blobs' | 'bytes' | 'blobsPerSender' | 'strangers' | 'keptMs' | 'totalBytes'>,
  blockLimits: MailboxBlockLimits,
): { operations: MailboxOperations; rolledBack: () => void } {
  const peers = numberedPeers(database, limits.keptMs);
  const blocks = mailboxBlocks(database, blockLimits);
  const mailboxes = heldMailboxes(database, {
    hasBlocks: blocks.hasAny,
    onExpired: (expired) => {
      if (blobs !== undefined) blobs -= expired;
    },
  });
  const insert = database.prepare('INSERT INTO mailbox_blob VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const select = database.prepare(
    `SELECT number, depositor, deposited_at_ms, blob FROM mailbox_blob
     WHERE recipient = ? AND number > ? AND expires_at_ms > ? ORDER BY number LIMIT ?`,
  );
  const acknowledge = database.prepare('DELETE FROM mailbox_blob WHERE recipient = ? AND number <= ?');
  const walk = database.prepare(
    'SELECT number, recipient, expires_at_ms FROM mailbox_blob WHERE number > ? ORDER BY number LIMIT ?',
  );
  const remove = database.prepare('DELETE FROM mailbox_blob WHERE number = ?');
  const sendersOf = database.prepare('SELECT number, depositor FROM mailbox_blob WHERE recipient = ?');
  const highest = database.prepare('SELECT coalesce(max(number), 0) AS number FROM mailbox_blob');
  const count = database.prepare('SELECT count(*) AS blobs FROM mailbox_blob');
  const usedBytes = usedBytesOf(database);
  const isFull = (bytes: number): boolean => usedBytes() + bytes > limits.totalBytes;
  /** Never reused while the worker runs, not even after a rollback: a collect stream goes by "after this number". */
  let lastNumber = Number(highest.get()!['number']);
  let blobs: number | undefined;

  return {
    operations: {
      'mailbox.deposit': ({ nowMs, depositor, recipients, fields, bytes }) => {
        const total = fields.length / DEPOSIT_FIELDS;
        if (isFull(bytes.byteLength)) {
          // Nothing is written, not even who asked. What is there already is answered so the next time.
          return {
            statuses: new Uint8Array(total).fill(DepositOutcome.STORE_FULL),
            keptUntilMs: new Float64Array(total),
          };
        }
        const sender = peers.numberOf(depositor, nowMs);
        const held = recipients.map((recipient) => {
          const mailbox = mailboxes.of(peers.numberOf(recipient, nowMs), recipient, nowMs);
          return { mailbox, block: mailbox.hasBlocks ? blocks.of(recipient, depositor) : undefined };
        });
        const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const statuses = new Uint8Array(total);
        const keptUntilMs = new Float64Array(total);
        let start = 0;
        for (let i = 0; i < total; i++) {
          const { mailbox, block } = held[fields[i * DEPOSIT_FIELDS]!]!;
          const expiresMs = fields[i * DEPOSIT_FIELDS + 1]!;
          const end = fields[i * DEPOSIT_FIELDS + 2]!;
          const issuedMs = fields[i * DEPOSIT_FIELDS + 3]!;
          const ofStranger = issuedMs <= (block?.voidUntilMs ?? NO_CAPABILITY);
          const share = shareOf(mailbox, { ofStranger });
          const most = ofStranger ? limits.strangers : limits;
          const blobStart = start + 32;
          const key = mailboxes.keyOf(buffer, start);
          const known = mailbox.blobs.get(key);
          if (block?.blocked === true) {
            statuses[i] = DepositOutcome.REFUSED;
          } else if (known !== undefined) {
            statuses[i] = DepositOutcome.ALREADY_THERE;
            keptUntilMs[i] = known.expiresMs;
          } else if (share.blobs >= most.blobs || share.bytes + (end - blobStart) > most.bytes) {
            statuses[i] = ofStranger ? DepositOutcome.STRANGERS_FULL : DepositOutcome.FULL;
          } else if ((share.bySender.get(sender) ?? 0) >= most.blobsPerSender) {
            statuses[i] = ofStranger ? DepositOutcome.STRANGER_FULL : DepositOutcome.SENDER_FULL;
          } else {
            const number = ++lastNumber;
            insert.run(
              number,
              mailbox.recipient,
              sender,
              nowMs,
              expiresMs,
              buffer.subarray(start, blobStart),
              buffer.subarray(blobStart, end),
              ofStranger ? 1 : 0,
            );
            mailboxes.add(mailbox, key, { number, sender, bytes: end - blobStart, expiresMs, ofStranger });
            if (blobs !== undefined) blobs++;
            statuses[i] = DepositOutcome.STORED;
            keptUntilMs[i] = expiresMs;
          }
          start = end;
        }
        mailboxes.trim();
        return { statuses, keptUntilMs };
      },

      'mailbox.next': ({ recipient, after, maxBlobs, maxBytes, nowMs }) => {
        const numbers: number[] = [];
        const depositors: number[] = [];
        const depositedAtMs: number[] = [];
        const lengths: number[] = [];
        const senders = new Map<number, number>();
        const parts: Uint8Array[] = [];
        let total = 0;
        let more = false;
        const number = peers.find(recipient);
        const rows = number === undefined ? [] : select.iterate(number, after, nowMs, maxBlobs + 1);
        for (const row of rows) {
          const blob = row['blob'] as Uint8Array;
          if (numbers.length === maxBlobs || total + blob.byteLength > maxBytes) {
            more = true;
            break;
          }
          const sender = row['depositor'] as number;
          let index = senders.get(sender);
          if (index === undefined) senders.set(sender, (index = senders.size));
          numbers.push(row['number'] as number);
          depositors.push(index);
          depositedAtMs.push(row['deposited_at_ms'] as number);
          lengths.push(blob.byteLength);
          parts.push(blob);
          total += blob.byteLength;
        }
        const bytes = new Uint8Array(total);
        let at = 0;
        for (const part of parts) {
          bytes.set(part, at);
          at += part.byteLength;
        }
        return {
          numbers,
          depositors,
          depositedAtMs,
          lengths,
          peers: [...senders.keys()].map((sender) => peers.bytesOf(sender)),
          bytes,
          more,
        };
      },

      'mailbox.acknowledge': ({ recipient, upTo }) => {
        const number = peers.find(recipient);
        if (number === undefined) return;
        const { changes } = acknowledge.run(number, upTo);
        mailboxes.acknowledged(number, upTo);
        if (blobs !== undefined) blobs -= Number(changes);
      },

      'mailbox.expire': ({ after, nowMs }) => {
        const rows = walk.all(after, SWEEP_ROWS);
        let expired = 0;
        for (const row of rows) {
          if ((row['expires_at_ms'] as number) > nowMs) continue;
          remove.run(row['number'] as number);
          mailboxes.forget(row['recipient'] as number);
          expired++;
        }
        if (blobs !== undefined) blobs -= expired;
        if (rows.length === SWEEP_ROWS) return { next: rows.at(-1)!['number'] as number, expired };
        peers.purge(nowMs);
        blocks.expire(nowMs);
        return { next: 0, expired };
      },

      'mailbox.totals': () => {
        blobs ??= Number(count.get()!['blobs']);
        return { blobs, blocks: blocks.total() };
      },

      'mailbox.block': (request) => {
        const result = blocks.set(request);
        const recipient = peers.find(request.owner);
        if (result.outcome !== 'set' || recipient === undefined) return result;
        const blocked = new Set(request.block.map((depositor) => peers.find(depositor)));
        for (const row of blocked.size === 0 ? [] : sendersOf.all(recipient)) {
          if (!blocked.has(row['depositor'] as number)) continue;
          remove.run(row['number'] as number);
          if (blobs !== undefined) blobs--;
        }
        mailboxes.forget(recipient);
        return result;
      },
    },

    rolledBack: () => {
      blobs = undefined;
      peers.clear();
      mailboxes.clear();
    },
  };
}
