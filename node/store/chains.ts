import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { CHAIN_BYTES } from '../../protocols/chat/message.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import { later } from './clock.ts';
import { storedRow } from './damage.ts';
import type { ClockReading } from './clock.ts';
import { OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

/**
 * Chains one author may begin with one recipient. A new one begins when an author restores a backup; a hostile one could
 * begin one a message, and each is a row that is kept.
 */
export const MAX_CHAINS_PER_PEER = 64;

/** One author's run of counters in one conversation, with all that is known about its messages as a whole. */
export interface Chain {
  id: number;
  peer: number;
  direction: number;
  chain: Uint8Array;
  /** The highest counter written (outgoing) or seen (incoming), and that message's hash. */
  lastCounter: number;
  lastHash: Uint8Array;
  clock: ClockReading;
  /** Outgoing: what the other end has committed, or refused for good. Incoming: what we have. */
  delivered: Range[];
  /** Outgoing: what waits in a mailbox, and when it was last left there. */
  stored: Range[];
  storedMs: number;
  /** Outgoing: read by the other end up to here. */
  readTo: number;
  /** Incoming: received in a way that left its author without an acknowledgement. */
  ackOwed: boolean;
  /** Outgoing: of `delivered`, what the other end has lost since; it is sent again. */
  lacking: Range[];
}

/** The peers and chains of a store, kept in memory as they are used and written back once per operation. */
export interface Chains {
  peerKey(peerId: string): number;
  /** The key of a peer that is already known. */
  findPeer(peerId: string): number | undefined;
  peerIdOf(peer: number): string;
  byId(id: number): Chain;
  /** The chain a new message to `peer` goes into. */
  outgoing(peer: number): Chain;
  /** Begins another chain for what is written to `peer` from now on. */
  beginOutgoing(peer: number): Chain;
  find(peer: number, direction: number, chain: Uint8Array): Chain | undefined;
  create(peer: number, direction: number, chain: Uint8Array): Chain;
  ofPeer(peer: number, direction: number): Chain[];
  /** Marks a chain as changed, to be written by `flush`. */
  touch(chain: Chain): void;
  flush(): void;
  /** This node's own hybrid logical clock. */
  clock: ClockReading;
  forget(): void;
}

interface ChainRow {
  id: number;
  peer: number;
  direction: number;
  chain: Uint8Array;
  last_counter: number;
  last_hash: Uint8Array;
  clock_ms: number;
  clock_count: number;
  delivered: string;
  stored: string;
  stored_ms: number;
  read_to: number;
  ack_owed: number;
  lacking: string;
}

/** Counters as a row has them. @throws StoreError `corrupt` */
function storedRanges(text: string): Range[] {
  try {
    return JSON.parse(text) as Range[];
  } catch (error) {
    throw new StoreError("a chain's counters can't be read", 'corrupt', { cause: error });
  }
}

function fromRow(row: ChainRow, sealed: SealedColumns): Chain {
  return {
    id: row.id,
    peer: row.peer,
    direction: row.direction,
    chain: row.chain,
    lastCounter: row.last_counter,
    lastHash: sealed.lastHash.open(row.last_hash, row.id),
    clock: { ms: row.clock_ms, count: row.clock_count },
    delivered: storedRanges(row.delivered),
    stored: storedRanges(row.stored),
    storedMs: row.stored_ms,
    readTo: row.read_to,
    ackOwed: row.ack_owed === 1,
    lacking: storedRanges(row.lacking),
  };
}

const keyOf = (peer: number, direction: number, chain: Uint8Array): string =>
  `${peer}/${direction}/${Buffer.from(chain.buffer, chain.byteOffset, chain.byteLength).toString('hex')}`;

export function openChains(database: DatabaseSync, sealed: SealedColumns): Chains {
  const selectPeer = database.prepare('SELECT id FROM peers WHERE peer_id_index = ?');
  const selectPeerId = database.prepare('SELECT peer_id FROM peers WHERE id = ?');
  const insertPeer = database.prepare('INSERT INTO peers (id, peer_id_index, peer_id) VALUES (?, ?, ?)');
  const selectNewPeer = database.prepare('SELECT coalesce(max(id), 0) + 1 AS id FROM peers');
  const selectChain = database.prepare('SELECT * FROM chains WHERE id = ?');
  const selectByBytes = database.prepare(
    'SELECT * FROM chains WHERE peer = ? AND direction = ? AND chain = ?',
  );
  const selectOfPeer = database.prepare('SELECT id FROM chains WHERE peer = ? AND direction = ? ORDER BY id');
  const insertChain = database.prepare(
    `INSERT INTO chains (peer, direction, chain, last_counter, last_hash, clock_ms, clock_count, delivered, stored, stored_ms, read_to, ack_owed, lacking)
     VALUES (?, ?, ?, 0, x'', 0, 0, '[]', '[]', 0, 0, 0, '[]')`,
  );
  const updateChain = database.prepare(
    `UPDATE chains SET last_counter = ?, last_hash = ?, clock_ms = ?, clock_count = ?, delivered = ?, stored = ?,
     stored_ms = ?, read_to = ?, ack_owed = ?, lacking = ? WHERE id = ?`,
  );
  const selectClock = database.prepare(
    'SELECT clock_ms, clock_count FROM chains ORDER BY clock_ms DESC, clock_count DESC LIMIT 1',
  );

  const readClock = (): ClockReading => {
    const row = selectClock.get() as { clock_ms: number; clock_count: number } | undefined;
    return row === undefined ? { ms: 0, count: 0 } : { ms: row.clock_ms, count: row.clock_count };
  };

  const peerKeys = new Map<string, number>();
  const peerIds = new Map<number, string>();
  const chains = new Map<number, Chain>();
  const byBytes = new Map<string, Chain>();
  const currentOutgoing = new Map<number, Chain>();
  const touched = new Set<Chain>();

  const remember = (row: ChainRow): Chain => {
    const known = chains.get(row.id);
    if (known !== undefined) return known;
    const chain = fromRow(row, sealed);
    chains.set(chain.id, chain);
    byBytes.set(keyOf(chain.peer, chain.direction, chain.chain), chain);
    return chain;
  };

  const self: Chains = {
    clock: readClock(),
    findPeer(peerId) {
      let key = peerKeys.get(peerId);
      if (key === undefined) {
        key = (selectPeer.get(sealed.peerIdIndex(peerId)) as { id: number } | undefined)?.id;
        if (key !== undefined) peerKeys.set(peerId, key);
      }
      return key;
    },
    peerKey(peerId) {
      let key = self.findPeer(peerId);
      if (key === undefined) {
        key = (selectNewPeer.get() as { id: number }).id;
        insertPeer.run(key, sealed.peerIdIndex(peerId), sealed.peerId.sealText(peerId, key));
        peerKeys.set(peerId, key);
      }
      return key;
    },
    peerIdOf(peer) {
      let peerId = peerIds.get(peer);
      if (peerId === undefined) {
        const row = storedRow<{ peer_id: Uint8Array }>(selectPeerId.get(peer), 'somebody known');
        peerId = sealed.peerId.openText(row.peer_id, peer);
        peerIds.set(peer, peerId);
      }
      return peerId;
    },
    byId(id) {
      return chains.get(id) ?? remember(storedRow<ChainRow>(selectChain.get(id), 'a chain of messages'));
    },
    outgoing(peer) {
      let chain = currentOutgoing.get(peer);
      if (chain === undefined) {
        chain = self.ofPeer(peer, OUTGOING).at(-1) ?? self.beginOutgoing(peer);
        currentOutgoing.set(peer, chain);
      }
      return chain;
    },
    beginOutgoing(peer) {
      const chain = self.create(peer, OUTGOING, randomBytes(CHAIN_BYTES));
      currentOutgoing.set(peer, chain);
      return chain;
    },
    find(peer, direction, bytes) {
      const known = byBytes.get(keyOf(peer, direction, bytes));
      if (known !== undefined) return known;
      const row = selectByBytes.get(peer, direction, bytes) as unknown as ChainRow | undefined;
      return row === undefined ? undefined : remember(row);
    },
    create(peer, direction, bytes) {
      return self.byId(Number(insertChain.run(peer, direction, bytes).lastInsertRowid));
    },
    ofPeer(peer, direction) {
      return selectOfPeer.all(peer, direction).map((row) => self.byId(row['id'] as number));
    },
    touch(chain) {
      touched.add(chain);
      self.clock = later(self.clock, chain.clock);
    },
    flush() {
      for (const chain of touched) {
        updateChain.run(
          chain.lastCounter,
          sealed.lastHash.seal(chain.lastHash, chain.id),
          chain.clock.ms,
          chain.clock.count,
          JSON.stringify(chain.delivered),
          JSON.stringify(chain.stored),
          chain.storedMs,
          chain.readTo,
          chain.ackOwed ? 1 : 0,
          JSON.stringify(chain.lacking),
          chain.id,
        );
      }
      touched.clear();
    },
    forget() {
      for (const cache of [peerKeys, peerIds, chains, byBytes, currentOutgoing]) cache.clear();
      touched.clear();
      self.clock = readClock();
    },
  };
  return self;
}
