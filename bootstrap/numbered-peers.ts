import type { DatabaseSync } from 'node:sqlite';

/** Peers whose numbers are kept in memory: about 300 bytes each. */
const KEPT_IN_MEMORY = 50_000;

/** A peer in use is marked as seen this often, not at each deposit. */
const SEEN_EVERY_MS = 24 * 3_600_000;

interface NumberedPeer {
  number: number;
  seenAtMs: number;
}

/**
 * Gives peers small numbers, for rows to refer to them by. A number lives longer than any row that carries it: it is
 * dropped when its peer has neither deposited nor been deposited for during the longest time that a row is kept, and two days.
 */
export function numberedPeers(database: DatabaseSync, keptMs: number) {
  const byId = database.prepare('SELECT number, seen_at_ms FROM mailbox_peer WHERE peer_id = ?');
  const byNumber = database.prepare('SELECT peer_id FROM mailbox_peer WHERE number = ?');
  const insert = database.prepare('INSERT INTO mailbox_peer (peer_id, seen_at_ms) VALUES (?, ?)');
  const touch = database.prepare('UPDATE mailbox_peer SET seen_at_ms = ? WHERE number = ?');
  const purge = database.prepare('DELETE FROM mailbox_peer WHERE seen_at_ms < ?');
  const known = new Map<string, NumberedPeer>();
  const idsByNumber = new Map<number, Uint8Array>();

  const keyOf = (peerId: Uint8Array): string =>
    Buffer.from(peerId.buffer, peerId.byteOffset, peerId.byteLength).toString('latin1');

  const load = (peerId: Uint8Array): NumberedPeer | undefined => {
    const key = keyOf(peerId);
    const peer = known.get(key);
    if (peer !== undefined) return peer;
    const row = byId.get(peerId);
    if (row === undefined) return undefined;
    return remember(key, { number: row['number'] as number, seenAtMs: row['seen_at_ms'] as number });
  };

  const remember = (key: string, peer: NumberedPeer): NumberedPeer => {
    if (known.size >= KEPT_IN_MEMORY) known.delete(known.keys().next().value!);
    known.set(key, peer);
    return peer;
  };

  /** Forgets what is in memory. */
  const clear = (): void => {
    known.clear();
    idsByNumber.clear();
  };

  return {
    /** The number of a peer, undefined when it has none. */
    find: (peerId: Uint8Array): number | undefined => load(peerId)?.number,

    /** The number of a peer that is about to be put into a row. */
    numberOf(peerId: Uint8Array, nowMs: number): number {
      const peer = load(peerId);
      if (peer === undefined) {
        const number = Number(insert.run(peerId, nowMs).lastInsertRowid);
        return remember(keyOf(peerId), { number, seenAtMs: nowMs }).number;
      }
      if (nowMs - peer.seenAtMs > SEEN_EVERY_MS) {
        touch.run(nowMs, peer.number);
        peer.seenAtMs = nowMs;
      }
      return peer.number;
    },

    /** The peer id bytes behind a number taken from a row. */
    bytesOf(number: number): Uint8Array {
      let peerId = idsByNumber.get(number);
      if (peerId === undefined) {
        peerId = byNumber.get(number)!['peer_id'] as Uint8Array;
        if (idsByNumber.size >= KEPT_IN_MEMORY) idsByNumber.clear();
        idsByNumber.set(number, peerId);
      }
      return peerId;
    },

    /** Drops peers that no row can refer to any more. */
    purge(nowMs: number): void {
      const { changes } = purge.run(nowMs - keptMs - 2 * SEEN_EVERY_MS);
      if (changes > 0) clear();
    },

    clear,
  };
}
