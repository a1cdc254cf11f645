import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';
import { unlessDamaged } from './damage.ts';
import type { IncomingOperations, ReceiveArguments, ReceivedBatch } from './incoming.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** What is kept for others' sake. Sessions cost who opens them nothing. */
export interface SessionLimits {
  /** Sessions of one sender that is known: a day each, for three weeks in a mailbox, and three times that. */
  perPeer: number;
  /** Of one that is not. */
  perStranger: number;
  /** Of all that are not known. */
  ofStrangers: number;
  /** Of everybody: 70 MB if each had all the keys it can have; 1 MB as a rule. */
  total: number;
  /** Sessions of one peer that it has to be told of, of each kind: as many as one notice of ours names. */
  noticesPerPeer: number;
  /** Of everybody. */
  notices: number;
  /** Own sessions to one peer, of which the newest seals, and of the others is known that they were ours. */
  ownPerPeer: number;
}

export const SESSION_LIMITS: SessionLimits = {
  perPeer: 64,
  perStranger: 4,
  ofStrangers: 256,
  total: 4096,
  noticesPerPeer: 32,
  notices: 4096,
  ownPerPeer: 64,
};

const OPENED = 0;
const LOST = 1;

/** A session that blobs were taken of, as it is after them. */
export interface TakenSession {
  id: Uint8Array;
  prekeyId: Uint8Array;
  /** As `encodeIncoming` gives it. */
  state: Uint8Array;
  takenMs: number;
}

/** What came out of a mailbox from one sender. */
export interface TakeArguments extends Omit<ReceiveArguments, 'viaMailbox'> {
  sessions: readonly TakenSession[];
  /** Ids of one-time prekeys whose secrets go. */
  usedPrekeys: readonly Uint8Array[];
}

/** Sessions that a peer has to be told of. */
export interface OwedNotices {
  opened: Uint8Array[];
  lost: Uint8Array[];
}

const NOTHING: ReceivedBatch = {
  rows: new Float64Array(0),
  indexes: new Uint32Array(0),
  places: new Float64Array(0),
  answers: [],
  refused: [],
};

/** Sealed sessions, ours and others', and what others have to be told of theirs. Ids of sessions are 16 bytes. */
export function sessionsTable(
  database: DatabaseSync,
  sealed: SealedColumns,
  chains: Chains,
  {
    receive,
    isKnown,
    isBlocked,
  }: {
    receive: IncomingOperations['messages.receive'];
    isKnown: (peer: number) => boolean;
    isBlocked: (peer: number) => boolean;
  },
  limits: SessionLimits = SESSION_LIMITS,
) {
  const selectOwn = database.prepare(
    `SELECT session_index AS sessionIndex, session FROM outgoing_sessions
     WHERE peer = ? AND session IS NOT NULL ORDER BY id DESC LIMIT 1`,
  );
  const updateOwn = database.prepare('UPDATE outgoing_sessions SET session = ? WHERE session_index = ?');
  const insertOwn = database.prepare(
    'INSERT INTO outgoing_sessions (peer, session_index, session) VALUES (?, ?, ?)',
  );
  const endOthers = database.prepare(
    'UPDATE outgoing_sessions SET session = NULL WHERE peer = ? AND session_index != ?',
  );
  const pruneOwn = database.prepare(
    `DELETE FROM outgoing_sessions WHERE peer = ?1 AND id NOT IN
     (SELECT id FROM outgoing_sessions WHERE peer = ?1 ORDER BY id DESC LIMIT ${limits.ownPerPeer})`,
  );
  const deleteOwn = database.prepare(
    'DELETE FROM outgoing_sessions WHERE peer = ? AND session_index = ? RETURNING session IS NOT NULL AS current',
  );
  const deleteReceivedPrekey = database.prepare('DELETE FROM received_prekeys WHERE prekey_index = ?');
  const deleteReceivedPrekeys = database.prepare('DELETE FROM received_prekeys WHERE peer = ?');

  const selectTheirs = database.prepare(
    'SELECT peer, session FROM incoming_sessions WHERE session_index = ?',
  );
  const updateTheirs = database.prepare(
    'UPDATE incoming_sessions SET session = ?, taken_ms = ? WHERE session_index = ? AND peer = ?',
  );
  const insertTheirs = database.prepare(
    `INSERT INTO incoming_sessions (peer, session_index, prekey_index, taken_ms, session) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (session_index) DO UPDATE SET peer = excluded.peer, session = excluded.session`,
  );
  const keepNewest = (where: string) =>
    database.prepare(
      `DELETE FROM incoming_sessions WHERE id IN
       (SELECT id FROM incoming_sessions s WHERE ${where} ORDER BY taken_ms DESC, id DESC LIMIT -1 OFFSET ?)`,
    );
  const pruneOfPeer = keepNewest('peer = ?');
  const pruneOfStrangers = keepNewest(
    'peer NOT IN (SELECT peer FROM contacts UNION SELECT peer FROM chains)',
  );
  const pruneAll = keepNewest('TRUE');
  const deleteUsedPrekey = database.prepare('DELETE FROM own_prekeys WHERE prekey_index = ?');
  const deleteDiscardable = database.prepare(
    `DELETE FROM incoming_sessions WHERE taken_ms < ?
     AND prekey_index NOT IN (SELECT prekey_index FROM own_prekeys)`,
  );

  const insertNotice = database.prepare(
    `INSERT OR IGNORE INTO session_notices (peer, kind, session_index, session) SELECT ?1, ?2, ?3, ?4
     WHERE (SELECT count(*) FROM session_notices WHERE peer = ?1 AND kind = ?2) < ${limits.noticesPerPeer}
     AND (SELECT count(*) FROM session_notices) < ${limits.notices}`,
  );
  const selectNotices = database.prepare(
    'SELECT kind, session_index AS sessionIndex, session FROM session_notices WHERE peer = ? ORDER BY id',
  );
  const deleteNotice = database.prepare(
    'DELETE FROM session_notices WHERE peer = ? AND kind = ? AND session_index = ?',
  );
  const selectNotified = database.prepare('SELECT DISTINCT peer FROM session_notices');

  const owe = (peer: number, kind: number, ids: readonly Uint8Array[]): void => {
    for (const id of ids) {
      const index = sealed.sessionIndex(id);
      insertNotice.run(peer, kind, index, sealed.notice.seal(id, peer, kind, index));
    }
  };

  /** @returns whether the session is a new one */
  const keep = (peer: number, { id, prekeyId, state, takenMs }: TakenSession): boolean => {
    const index = sealed.sessionIndex(id);
    const bytes = sealed.incomingSession.seal(state, peer, index);
    if (updateTheirs.run(bytes, takenMs, index, peer).changes > 0) return false;
    insertTheirs.run(peer, index, sealed.prekeyIndex(prekeyId), takenMs, bytes);
    return true;
  };

  const prune = (peer: number): void => {
    pruneOfPeer.run(peer, isKnown(peer) ? limits.perPeer : limits.perStranger);
    pruneOfStrangers.run(limits.ofStrangers);
    pruneAll.run(limits.total);
  };

  return {
    /** The session that seals for a peer, as `encodeOutgoing` gives it; undefined when there is none. */
    'sessions.outgoing': ({ peer: peerId }: { peer: string }): Uint8Array | undefined => {
      const peer = chains.findPeer(peerId);
      const row = peer === undefined ? undefined : selectOwn.get(peer);
      if (row === undefined) return undefined;
      const { sessionIndex, session } = row as { sessionIndex: Uint8Array; session: Uint8Array };
      return unlessDamaged(() => sealed.outgoingSession.open(session, peer!, sessionIndex));
    },

    /**
     * Keeps the state of the session that seals for a peer. Of the one before it the keys go.
     *
     * @param usedPrekey the id of a prekey that the peer gave us directly, which opened this one
     */
    'sessions.sealed': ({
      peer: peerId,
      id,
      state,
      usedPrekey,
    }: {
      peer: string;
      id: Uint8Array;
      state: Uint8Array;
      usedPrekey?: Uint8Array | undefined;
    }): void => {
      const peer = chains.peerKey(peerId);
      const index = sealed.sessionIndex(id);
      const bytes = sealed.outgoingSession.seal(state, peer, index);
      if (updateOwn.run(bytes, index).changes === 0) {
        insertOwn.run(peer, index, bytes);
        endOthers.run(peer, index);
        pruneOwn.run(peer);
      }
      if (usedPrekey !== undefined) deleteReceivedPrekey.run(sealed.prekeyIndex(usedPrekey));
    },

    /**
     * A peer can't open blobs of these. What it gave us directly for others is likely to be lost as well, and goes.
     *
     * @returns how many were ours, and not known to be lost
     */
    'sessions.lost': ({ peer: peerId, ids }: { peer: string; ids: readonly Uint8Array[] }): number => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined) return 0;
      const dropped = ids.filter((id) => deleteOwn.get(peer, sealed.sessionIndex(id)) !== undefined);
      if (dropped.length > 0) deleteReceivedPrekeys.run(peer);
      return dropped.length;
    },

    /**
     * Ends every session that we seal with, or those with one peer: this store is an old copy of itself, and what it would
     * seal with has been used.
     */
    'sessions.forget-outgoing': ({ peer: peerId }: { peer: string | null }): void => {
      if (peerId === null) {
        database.exec('DELETE FROM outgoing_sessions; DELETE FROM received_prekeys');
        return;
      }
      const peer = chains.findPeer(peerId);
      if (peer === undefined) return;
      database.prepare('DELETE FROM outgoing_sessions WHERE peer = ?').run(peer);
      deleteReceivedPrekeys.run(peer);
    },

    /** Deletes all keys that are shared with a peer, and what it was to be told of them. */
    'sessions.forget': ({ peer: peerId }: { peer: string }): void => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined) return;
      for (const table of [
        'outgoing_sessions',
        'incoming_sessions',
        'session_notices',
        'own_prekeys',
        'received_prekeys',
      ])
        database.prepare(`DELETE FROM ${table} WHERE peer = ?`).run(peer);
    },

    /** States of sessions, as `encodeIncoming` gives them, in the order asked for; undefined for those that are not here. */
    'sessions.incoming': ({ ids }: { ids: readonly Uint8Array[] }): (Uint8Array | undefined)[] =>
      ids.map((id) => {
        const index = sealed.sessionIndex(id);
        const row = selectTheirs.get(index) as { peer: number; session: Uint8Array } | undefined;
        return row && unlessDamaged(() => sealed.incomingSession.open(row.session, row.peer, index));
      }),

    /**
     * Commits what came out of a mailbox from one sender together with the keys it was sealed with: the messages are here, and
     * nobody can open them any more.
     */
    'sessions.take': (given: TakeArguments): ReceivedBatch => {
      const { peer: peerId, messages, sessions, usedPrekeys, nowMs } = given;
      const batch =
        messages.length === 0 ? NOTHING : receive({ peer: peerId, messages, viaMailbox: true, nowMs });
      const peer = chains.findPeer(peerId);
      // Of a stranger of whom nothing was taken, nothing is kept, and the prekey will open what comes next.
      if (peer === undefined) return batch;
      for (const id of usedPrekeys) deleteUsedPrekey.run(sealed.prekeyIndex(id));
      // Nor is anything of who is blocked.
      if (isBlocked(peer)) return batch;
      const begun = sessions.filter((session) => keep(peer, session));
      owe(
        peer,
        OPENED,
        begun.map(({ id }) => id),
      );
      if (begun.length > 0) prune(peer);
      return batch;
    },

    /**
     * A peer has to be told that blobs of these can't be opened here. Nothing happens for somebody whom this store does not
     * know: a mailbox may name anybody.
     *
     * @returns whether there is something to tell it
     */
    'sessions.owe-lost': ({ peer: peerId, ids }: { peer: string; ids: readonly Uint8Array[] }): boolean => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined || isBlocked(peer)) return false;
      owe(peer, LOST, ids);
      return true;
    },

    /** What a peer has to be told of its sessions. */
    'sessions.notices': ({ peer: peerId }: { peer: string }): OwedNotices => {
      const notices: OwedNotices = { opened: [], lost: [] };
      const peer = chains.findPeer(peerId);
      if (peer === undefined) return notices;
      for (const { kind, sessionIndex, session } of selectNotices.all(peer) as unknown as {
        kind: number;
        sessionIndex: Uint8Array;
        session: Uint8Array;
      }[]) {
        const id = unlessDamaged(() => sealed.notice.open(session, peer, kind, sessionIndex));
        if (id !== undefined) (kind === LOST ? notices.lost : notices.opened).push(id);
      }
      return notices;
    },

    /** A peer has been told of these. */
    'sessions.notices-paid': ({ peer: peerId, opened: told, lost }: OwedNotices & { peer: string }): void => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined) return;
      for (const id of told) deleteNotice.run(peer, OPENED, sealed.sessionIndex(id));
      for (const id of lost) deleteNotice.run(peer, LOST, sealed.sessionIndex(id));
    },

    /** Everybody who has to be told of a session. */
    'sessions.notified-peers': (): string[] =>
      selectNotified.all().map(({ peer }) => chains.peerIdOf(peer as number)),

    /** Deletes sessions of which no blob can come any more: nothing was taken since, and the prekey's secret is gone. */
    'sessions.expire': ({ takenBeforeMs }: { takenBeforeMs: number }): void => {
      deleteDiscardable.run(takenBeforeMs);
    },
  };
}

export type SessionsOperations = ReturnType<typeof sessionsTable>;
