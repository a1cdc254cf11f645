import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';
import { unlessDamaged } from './damage.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** Prekeys of one peer that wait to be used: as many as one frame brings. */
const MAX_RECEIVED = 4;

/**
 * Own prekeys left at one mailbox, some 1.4 kB each: ten times what it holds. Beyond that the oldest go: of those that were
 * handed out and are not used, somebody takes them for the sake of taking, or the mailbox says so.
 */
const MAX_AT_MAILBOX = 1000;

const ONE_TIME = 0;
const LAST_RESORT = 1;

/** A prekey of our own, with its secret. */
export interface StoredPrekey {
  id: Uint8Array;
  /** As `encodeOwnPrekey` gives it. */
  state: Uint8Array;
  expiresMs: number;
}

/** A prekey that its owner gave us directly. */
export interface ReceivedPrekey {
  id: Uint8Array;
  /** As its owner signed it. */
  prekey: Uint8Array;
  expiresMs: number;
}

/** Prekeys: ours with their secrets, and those that others gave us. Ids of prekeys are 16 bytes. */
export function prekeysTable(database: DatabaseSync, sealed: SealedColumns, chains: Chains) {
  const insertOwn = database.prepare(
    `INSERT INTO own_prekeys (prekey_index, kind, mailbox, peer, confirmed, made_ms, expires_ms, prekey)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const pruneAtMailbox = database.prepare(
    `DELETE FROM own_prekeys WHERE mailbox = ?1 AND id NOT IN
     (SELECT id FROM own_prekeys WHERE mailbox = ?1 ORDER BY id DESC LIMIT ${MAX_AT_MAILBOX})`,
  );
  const selectOwn = database.prepare('SELECT prekey FROM own_prekeys WHERE prekey_index = ?');
  const selectLastResort = database.prepare(
    `SELECT prekey_index AS prekeyIndex, prekey, made_ms AS madeMs FROM own_prekeys
     WHERE kind = ${LAST_RESORT} ORDER BY id DESC LIMIT 1`,
  );
  const selectUnconfirmed = database.prepare(
    'SELECT prekey_index AS prekeyIndex FROM own_prekeys WHERE mailbox = ? AND confirmed = 0',
  );
  const confirm = database.prepare(
    'UPDATE own_prekeys SET confirmed = 1 WHERE mailbox = ? AND confirmed = 0',
  );
  const deleteUnconfirmed = database.prepare('DELETE FROM own_prekeys WHERE mailbox = ? AND confirmed = 0');
  const selectOfPeer = database.prepare('SELECT count(*) AS n FROM own_prekeys WHERE peer = ?');
  const deleteExpired = database.prepare(
    `DELETE FROM own_prekeys AS p WHERE
     (kind = ${ONE_TIME} AND expires_ms < ?1)
     OR (kind = ${LAST_RESORT} AND EXISTS (
       SELECT 1 FROM own_prekeys n WHERE n.kind = ${LAST_RESORT} AND n.id > p.id AND n.made_ms < ?1))`,
  );
  const insertReceived = database.prepare(
    `INSERT OR IGNORE INTO received_prekeys (peer, prekey_index, arrived_ms, expires_ms, prekey)
     VALUES (?, ?, ?, ?, ?)`,
  );
  const pruneReceived = database.prepare(
    `DELETE FROM received_prekeys WHERE peer = ?1 AND id NOT IN
     (SELECT id FROM received_prekeys WHERE peer = ?1 ORDER BY id DESC LIMIT ${MAX_RECEIVED})`,
  );
  const selectReceived = database.prepare(
    `SELECT prekey_index AS prekeyIndex, prekey, arrived_ms AS arrivedMs FROM received_prekeys
     WHERE peer = ? AND expires_ms > ? ORDER BY id DESC LIMIT 1`,
  );
  const deleteExpiredReceived = database.prepare('DELETE FROM received_prekeys WHERE expires_ms <= ?');

  const add = (
    { id, state, expiresMs }: StoredPrekey,
    row: { kind: number; mailbox: Uint8Array | null; peer: number | null; nowMs: number },
  ): void => {
    const index = sealed.prekeyIndex(id);
    const bytes = sealed.ownPrekey.seal(state, index);
    insertOwn.run(
      index,
      row.kind,
      row.mailbox,
      row.peer,
      row.mailbox === null ? 1 : 0,
      row.nowMs,
      expiresMs,
      bytes,
    );
  };

  return {
    /** Keeps the secrets of one-time prekeys before they leave for a mailbox or a peer. */
    'prekeys.add': ({
      prekeys,
      to,
      nowMs,
    }: {
      prekeys: readonly StoredPrekey[];
      to: { mailbox: string } | { peer: string };
      nowMs: number;
    }): void => {
      const mailbox = 'mailbox' in to ? sealed.mailboxIndex(to.mailbox) : null;
      const peer = 'peer' in to ? chains.peerKey(to.peer) : null;
      for (const prekey of prekeys) add(prekey, { kind: ONE_TIME, mailbox, peer, nowMs });
      if (mailbox !== null) pruneAtMailbox.run(mailbox);
    },

    /** Keeps the secret of a new last-resort prekey, the same for all mailboxes. */
    'prekeys.add-last-resort': ({ prekey, nowMs }: { prekey: StoredPrekey; nowMs: number }): void => {
      add(prekey, { kind: LAST_RESORT, mailbox: null, peer: null, nowMs });
    },

    /** The newest last-resort prekey. */
    'prekeys.last-resort': (): { state: Uint8Array; madeMs: number } | undefined => {
      const row = selectLastResort.get() as
        | { prekeyIndex: Uint8Array; prekey: Uint8Array; madeMs: number }
        | undefined;
      const state = row && unlessDamaged(() => sealed.ownPrekey.open(row.prekey, row.prekeyIndex));
      return state && { state, madeMs: row.madeMs };
    },

    /** Prekeys with their secrets, as `encodeOwnPrekey` gives them, in the order asked for; undefined where there is none. */
    'prekeys.own': ({ ids }: { ids: readonly Uint8Array[] }): (Uint8Array | undefined)[] =>
      ids.map((id) => {
        const index = sealed.prekeyIndex(id);
        const row = selectOwn.get(index) as { prekey: Uint8Array } | undefined;
        return row && unlessDamaged(() => sealed.ownPrekey.open(row.prekey, index));
      }),

    /**
     * What a mailbox says that it holds. Of a publication that it has not answered and holds nothing of, nothing came
     * there; had it held some, the others would have been handed out.
     *
     * @returns how many of these are ours
     */
    'prekeys.counted': ({ mailbox, ids }: { mailbox: string; ids: readonly Uint8Array[] }): number => {
      const place = sealed.mailboxIndex(mailbox);
      const held = ids.map((id) => sealed.prekeyIndex(id));
      const isHeld = new Set(held.map((index) => index.toString('hex')));
      const unanswered = selectUnconfirmed.all(place) as unknown as { prekeyIndex: Uint8Array }[];
      const arrived = unanswered.some(({ prekeyIndex }) =>
        isHeld.has(Buffer.from(prekeyIndex).toString('hex')),
      );
      if (arrived) confirm.run(place);
      else if (unanswered.length > 0) deleteUnconfirmed.run(place);
      return held.filter((index) => selectOwn.get(index) !== undefined).length;
    },

    /** A mailbox has what was left there last. */
    'prekeys.published': ({ mailbox }: { mailbox: string }): void => {
      confirm.run(sealed.mailboxIndex(mailbox));
    },

    /** How many prekeys a peer was handed and has not used. */
    'prekeys.handed': ({ peer: peerId }: { peer: string }): number => {
      const peer = chains.findPeer(peerId);
      return peer === undefined ? 0 : Number(selectOfPeer.get(peer)!['n']);
    },

    /** Deletes secrets that nobody can need any more, and others' prekeys that have expired. */
    'prekeys.expire': ({ nowMs, keptMs }: { nowMs: number; keptMs: number }): void => {
      deleteExpired.run(nowMs - keptMs);
      deleteExpiredReceived.run(nowMs);
    },

    /** Keeps prekeys that their owner gave us, whose signature was checked. */
    'prekeys.received': ({
      peer: peerId,
      prekeys,
      nowMs,
    }: {
      peer: string;
      prekeys: readonly ReceivedPrekey[];
      nowMs: number;
    }): void => {
      const peer = chains.peerKey(peerId);
      for (const { id, prekey, expiresMs } of prekeys) {
        const index = sealed.prekeyIndex(id);
        const bytes = sealed.receivedPrekey.seal(prekey, peer, index);
        insertReceived.run(peer, index, nowMs, expiresMs, bytes);
      }
      pruneReceived.run(peer);
    },

    /** The newest prekey that a peer gave us, and is not used or expired. */
    'prekeys.newest-received': ({
      peer: peerId,
      nowMs,
    }: {
      peer: string;
      nowMs: number;
    }): { prekey: Uint8Array; arrivedMs: number } | undefined => {
      const peer = chains.findPeer(peerId);
      const row =
        peer === undefined
          ? undefined
          : (selectReceived.get(peer, nowMs) as
              | { prekeyIndex: Uint8Array; prekey: Uint8Array; arrivedMs: number }
              | undefined);
      const prekey =
        row && unlessDamaged(() => sealed.receivedPrekey.open(row.prekey, peer!, row.prekeyIndex));
      return prekey && { prekey, arrivedMs: row.arrivedMs };
    },
  };
}

export type PrekeysOperations = ReturnType<typeof prekeysTable>;
