import type { DatabaseSync } from 'node:sqlite';
import type { Chains } from './chains.ts';
import { decodePin, encodePin } from './pin.ts';
import type { Pin } from './pin.ts';
import type { SealedColumns } from './sealed-columns.ts';

/**
 * Whose keys the user has compared, and names that came to stand for another key than the one that is pinned. A mark
 * belongs to a peer id, so it says nothing of another key of the same person. `decided` is 1 where the user has said
 * that the name does not stand for this key. Sealed in later versions: sealing.ts.
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
export function verificationTable(database: DatabaseSync, sealed: SealedColumns, chains: Chains) {
  const selectMarks = database.prepare('SELECT peer, mark FROM verifications');
  const upsertMark = database.prepare('INSERT OR REPLACE INTO verifications (peer, mark) VALUES (?, ?)');
  const deleteMark = database.prepare('DELETE FROM verifications WHERE peer = ?');
  const selectChanges = database.prepare(
    'SELECT change_index AS place, change, seen_ms AS seenMs, decided FROM key_changes ORDER BY id',
  );
  const upsertChange = database.prepare(
    'INSERT OR REPLACE INTO key_changes (change_index, change, seen_ms, decided) VALUES (?, ?, ?, ?)',
  );
  const selectChange = database.prepare('SELECT change, decided FROM key_changes WHERE change_index = ?');
  const deleteChange = database.prepare('DELETE FROM key_changes WHERE change_index = ?');
  const selectPin = database.prepare(
    'SELECT place_index AS place, pin FROM pins WHERE name_index = ? ORDER BY id LIMIT 1',
  );
  const deletePins = database.prepare('DELETE FROM pins WHERE name_index = ?');
  const insertPin = database.prepare('INSERT INTO pins (place_index, name_index, pin) VALUES (?, ?, ?)');

  const changeOf = (bytes: Uint8Array, place: Uint8Array, decided: number): Pin =>
    decodePin(sealed.keyChange.open(bytes, place, decided));

  const putChange = (change: Pin, seenMs: number, isDecided: boolean): void => {
    const index = sealed.changeIndex(change.name, change.peer);
    const decided = isDecided ? 1 : 0;
    upsertChange.run(index, sealed.keyChange.seal(encodePin(change), index, decided), seenMs, decided);
  };

  /** A mark that can't be read, or of nobody, is none: who damaged the store must not gain one. */
  const markOf = ({ peer, mark }: { peer: number; mark: Uint8Array }): VerificationRow | undefined => {
    try {
      return { peer: chains.peerIdOf(peer), verifiedMs: Number(sealed.mark.openText(mark, peer)) };
    } catch {
      return undefined;
    }
  };

  const forget = (peer: string): void => {
    const key = chains.findPeer(peer);
    if (key !== undefined) deleteMark.run(key);
  };

  return {
    'verifications.list': (): VerificationRow[] =>
      (selectMarks.all() as unknown as { peer: number; mark: Uint8Array }[]).flatMap(
        (row) => markOf(row) ?? [],
      ),

    /** Marks a key as compared; null takes the mark back. */
    'verifications.put': ({ peer, verifiedMs }: { peer: string; verifiedMs: number | null }): void => {
      if (verifiedMs === null) forget(peer);
      else {
        const key = chains.peerKey(peer);
        upsertMark.run(key, sealed.mark.sealText(String(verifiedMs), key));
      }
    },

    'key-changes.list': (): (KeyChangeRow & { decided: number })[] =>
      (
        selectChanges.all() as unknown as {
          place: Uint8Array;
          change: Uint8Array;
          seenMs: number;
          decided: number;
        }[]
      ).map(({ place, change, seenMs, decided }) => ({
        ...changeOf(change, place, decided),
        seenMs,
        decided,
      })),

    /** Keeps a change, and whether the user has decided against it. */
    'key-changes.put': ({ seenMs, decided, ...change }: KeyChangeRow & { decided: boolean }): void => {
      putChange(change, seenMs, decided);
    },

    /**
     * Moves a name to the key of a change. The key it stood for loses its mark, and counts as decided against: its old
     * certificates ask no new question. False when there is no such change.
     */
    'key-changes.accept': ({ name, peer, nowMs }: { name: string; peer: string; nowMs: number }): boolean => {
      const index = sealed.changeIndex(name, peer);
      const found = selectChange.get(index) as { change: Uint8Array; decided: number } | undefined;
      if (found === undefined) return false;
      const change = changeOf(found.change, index, found.decided);
      const nameIndex = sealed.nameIndex(name);
      const pinned = selectPin.get(nameIndex) as { place: Uint8Array; pin: Uint8Array } | undefined;
      if (pinned !== undefined) {
        const before = decodePin(sealed.pin.open(pinned.pin, pinned.place));
        putChange(before, nowMs, true);
        forget(before.peer);
      }
      deletePins.run(nameIndex);
      const place = sealed.placeIndex(name, change.phonebook);
      insertPin.run(place, nameIndex, sealed.pin.seal(encodePin(change), place));
      deleteChange.run(index);
      return true;
    },
  };
}

export type VerificationOperations = ReturnType<typeof verificationTable>;
