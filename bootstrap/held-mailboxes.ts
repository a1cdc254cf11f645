import type { DatabaseSync } from 'node:sqlite';

/**
 * Blobs accounted for in memory, over all mailboxes in use: at about 150 bytes each, 40 MB. Beyond it, a deposit for a
 * mailbox out of memory reads that mailbox's rows first, up to a millisecond for a full one.
 */
const KEPT_IN_MEMORY = 250_000;

/** Mailboxes in memory, for when most are nearly empty. */
const MAILBOXES_IN_MEMORY = 20_000;

/**
 * Bytes of a blob id that tell blobs of one mailbox apart: 128 bits of SHA-256. Finding two that agree in them takes 2^64
 * attempts and harms only the two's own depositor.
 */
const KEY_BYTES = 16;

/** What is known of one stored blob. */
export interface HeldRow {
  number: number;
  sender: number;
  bytes: number;
  expiresMs: number;
  ofStranger: boolean;
}

/** What is held of a part of a mailbox: strangers have one of their own. */
export interface HeldShare {
  blobs: number;
  bytes: number;
  bySender: Map<number, number>;
}

/** What quotas and duplicates are judged by, for one recipient. Nothing in it is expired. */
export interface HeldMailbox {
  recipient: number;
  /** By the start of their ids, in the order of their deposit. */
  blobs: Map<string, HeldRow>;
  ofAccepted: HeldShare;
  ofStrangers: HeldShare;
  /** Whether the recipient has said anything about depositors. */
  hasBlocks: boolean;
  /** No blob in it expires before this. */
  earliestExpiryMs: number;
}

/** The part of a mailbox that a row belongs to. */
export function shareOf(mailbox: HeldMailbox, { ofStranger }: Pick<HeldRow, 'ofStranger'>): HeldShare {
  return ofStranger ? mailbox.ofStrangers : mailbox.ofAccepted;
}

/**
 * The mailboxes in use, loaded when needed; the ones idle for longest make room.
 *
 * @param init.hasBlocks whether a recipient, by its peer id, has said anything about depositors
 * @param init.onExpired told how many rows went because they were expired
 */
export function heldMailboxes(
  database: DatabaseSync,
  {
    hasBlocks,
    onExpired,
  }: { hasBlocks: (recipient: Uint8Array) => boolean; onExpired: (count: number) => void },
) {
  const select = database.prepare(
    `SELECT number, depositor, expires_at_ms, length(blob) AS bytes, blob_id, of_stranger FROM mailbox_blob
     WHERE recipient = ? ORDER BY number`,
  );
  const remove = database.prepare('DELETE FROM mailbox_blob WHERE recipient = ? AND expires_at_ms <= ?');
  const mailboxes = new Map<number, HeldMailbox>();
  let rows = 0;

  const keyOf = (bytes: Buffer, start: number): string => bytes.toString('latin1', start, start + KEY_BYTES);

  const add = (mailbox: HeldMailbox, key: string, row: HeldRow): void => {
    const share = shareOf(mailbox, row);
    mailbox.blobs.set(key, row);
    share.blobs++;
    share.bytes += row.bytes;
    share.bySender.set(row.sender, (share.bySender.get(row.sender) ?? 0) + 1);
    if (row.expiresMs < mailbox.earliestExpiryMs) mailbox.earliestExpiryMs = row.expiresMs;
    rows++;
  };

  const drop = (mailbox: HeldMailbox, key: string, row: HeldRow): void => {
    const share = shareOf(mailbox, row);
    mailbox.blobs.delete(key);
    share.blobs--;
    share.bytes -= row.bytes;
    const left = share.bySender.get(row.sender)! - 1;
    if (left === 0) share.bySender.delete(row.sender);
    else share.bySender.set(row.sender, left);
    rows--;
  };

  const forget = (recipient: number): void => {
    rows -= mailboxes.get(recipient)?.blobs.size ?? 0;
    mailboxes.delete(recipient);
  };

  const load = (recipient: number, peerId: Uint8Array, nowMs: number): HeldMailbox => {
    // Expired blobs go before a new one comes, so that the quotas hold on the disk as well.
    onExpired(Number(remove.run(recipient, nowMs).changes));
    const mailbox: HeldMailbox = {
      recipient,
      blobs: new Map(),
      ofAccepted: { blobs: 0, bytes: 0, bySender: new Map() },
      ofStrangers: { blobs: 0, bytes: 0, bySender: new Map() },
      hasBlocks: hasBlocks(peerId),
      earliestExpiryMs: Infinity,
    };
    for (const row of select.iterate(recipient)) {
      const id = row['blob_id'] as Uint8Array;
      add(mailbox, keyOf(Buffer.from(id.buffer, id.byteOffset, id.byteLength), 0), {
        number: row['number'] as number,
        sender: row['depositor'] as number,
        bytes: row['bytes'] as number,
        expiresMs: row['expires_at_ms'] as number,
        ofStranger: row['of_stranger'] === 1,
      });
    }
    return mailbox;
  };

  return {
    keyOf,
    add,

    /** The mailbox of a recipient, given by its number and its peer id, without what is expired. */
    of(recipient: number, peerId: Uint8Array, nowMs: number): HeldMailbox {
      let mailbox = mailboxes.get(recipient);
      if (mailbox !== undefined && mailbox.earliestExpiryMs <= nowMs) {
        forget(recipient);
        mailbox = undefined;
      }
      mailbox ??= load(recipient, peerId, nowMs);
      // Set anew, so that the map is ordered by last use.
      mailboxes.delete(recipient);
      mailboxes.set(recipient, mailbox);
      return mailbox;
    },

    /** The recipient has taken everything up to a number. */
    acknowledged(recipient: number, upTo: number): void {
      const mailbox = mailboxes.get(recipient);
      if (mailbox === undefined) return;
      for (const [key, row] of mailbox.blobs) {
        if (row.number > upTo) break;
        drop(mailbox, key, row);
      }
    },

    /** Keeps memory bounded; not to be called while mailboxes from `of` are still in use. */
    trim(): void {
      for (const recipient of mailboxes.keys()) {
        if (rows <= KEPT_IN_MEMORY && mailboxes.size <= MAILBOXES_IN_MEMORY) return;
        forget(recipient);
      }
    },

    forget,

    /** Forgets what is in memory; the table says how it is. */
    clear(): void {
      mailboxes.clear();
      rows = 0;
    },
  };
}
