import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';

/**
 * Whose keys the user has compared, and names that came to stand for another key than the one that is pinned. A mark
 * belongs to a peer id, so it says nothing of another key of the same person. `decided` is 1 where the user has said
 * that the name does not stand for this key.
 */
export const VERIFICATION_SCHEMA = `
  CREATE TABLE verifications (
    peer INTEGER PRIMARY KEY REFERENCES peers,
    verified_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE key_changes (
    name TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    phonebook TEXT NOT NULL,
    seq INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    seen_ms INTEGER NOT NULL,
    decided INTEGER NOT NULL,
    PRIMARY KEY (name, peer_id)
  ) STRICT, WITHOUT ROWID;
`;

export interface VerificationRow {
  peer: string;
  verifiedMs: number;
}

/** A certificate for a name that is pinned to somebody else. */
export interface KeyChangeRow {
  name: string;
  /** Whom the certificate names. */
  peer: string;
  phonebook: string;
  seq: number;
  certificate: Uint8Array;
  seenMs: number;
}

/** Marks of verification and key changes. */
export function verificationTable(database: DatabaseSync, chains: Chains) {
  const selectMarks = database.prepare(
    'SELECT p.peer_id AS peer, v.verified_ms AS verifiedMs FROM verifications v JOIN peers p ON p.id = v.peer',
  );
  const upsertMark = database.prepare('INSERT OR REPLACE INTO verifications (peer, verified_ms) VALUES (?, ?)');
  const deleteMark = database.prepare('DELETE FROM verifications WHERE peer = ?');
  const selectChanges = database.prepare(
    'SELECT name, peer_id AS peer, phonebook, seq, certificate, seen_ms AS seenMs, decided FROM key_changes',
  );
  const upsertChange = database.prepare(
    `INSERT OR REPLACE INTO key_changes (name, peer_id, phonebook, seq, certificate, seen_ms, decided)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const selectChange = database.prepare(
    'SELECT phonebook, seq, certificate FROM key_changes WHERE name = ? AND peer_id = ?',
  );
  const deleteChange = database.prepare('DELETE FROM key_changes WHERE name = ? AND peer_id = ?');
  const selectPin = database.prepare(
    'SELECT peer_id AS peer, phonebook, seq, certificate FROM pins WHERE name = ? LIMIT 1',
  );
  const deletePins = database.prepare('DELETE FROM pins WHERE name = ?');
  const insertPin = database.prepare(
    'INSERT INTO pins (name, phonebook, peer_id, seq, certificate) VALUES (?, ?, ?, ?, ?)',
  );

  const forget = (peer: string): void => {
    const key = chains.findPeer(peer);
    if (key !== undefined) deleteMark.run(key);
  };

  return {
    'verifications.list': (): VerificationRow[] => selectMarks.all() as unknown as VerificationRow[],

    /** Marks a key as compared; null takes the mark back. */
    'verifications.put': ({ peer, verifiedMs }: { peer: string; verifiedMs: number | null }): void => {
      if (verifiedMs === null) forget(peer);
      else upsertMark.run(chains.peerKey(peer), verifiedMs);
    },

    'key-changes.list': (): (KeyChangeRow & { decided: number })[] =>
      selectChanges.all() as unknown as (KeyChangeRow & { decided: number })[],

    /** Keeps a change, and whether the user has decided against it. */
    'key-changes.put': ({
      name,
      peer,
      phonebook,
      seq,
      certificate,
      seenMs,
      decided,
    }: KeyChangeRow & { decided: boolean }): void => {
      upsertChange.run(name, peer, phonebook, seq, certificate, seenMs, decided ? 1 : 0);
    },

    /**
     * Moves a name to the key of a change. The key it stood for loses its mark, and counts as decided against: its old
     * certificates ask no new question. False when there is no such change.
     */
    'key-changes.accept': ({ name, peer, nowMs }: { name: string; peer: string; nowMs: number }): boolean => {
      const change = selectChange.get(name, peer) as unknown as
        | Pick<KeyChangeRow, 'phonebook' | 'seq' | 'certificate'>
        | undefined;
      if (change === undefined) return false;
      const before = selectPin.get(name) as unknown as
        | Pick<KeyChangeRow, 'peer' | 'phonebook' | 'seq' | 'certificate'>
        | undefined;
      if (before !== undefined) {
        upsertChange.run(name, before.peer, before.phonebook, before.seq, before.certificate, nowMs, 1);
        forget(before.peer);
      }
      deletePins.run(name);
      insertPin.run(name, change.phonebook, peer, change.seq, change.certificate);
      deleteChange.run(name, peer);
      return true;
    },
  };
}

export type VerificationOperations = ReturnType<typeof verificationTable>;
