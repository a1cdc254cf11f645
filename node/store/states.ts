import type { DatabaseSync } from 'node:sqlite';
import { ID_BYTES } from '../../protocols/chat/message.ts';
import { addRange, contiguousUpTo, missingFrom } from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import type { Chain, Chains } from './chains.ts';
import { OUTGOING } from './schema.ts';

/** Own messages that changed state together. */
export interface ChangedBatch {
  peer: string;
  rows: Float64Array;
  ids: Uint8Array;
}

/** Own messages whose delivery was settled together. */
export interface SettledBatch extends ChangedBatch {
  /** `chains.id`, and the counters that were not settled before. */
  chain: number;
  settled: Range[];
}

/** The counters that are in either. */
export function withRanges(known: Range[], ranges: readonly Range[]): Range[] {
  return ranges.reduce<Range[]>((all, { first, last }) => addRange(all, first, last), known);
}

/** What became of own messages: told by others, range by range. */
export function statesTable(database: DatabaseSync, chains: Chains) {
  const selectIds = database.prepare(
    'SELECT row, id FROM messages WHERE chain = ? AND counter BETWEEN ? AND ?',
  );
  const selectUnfailedIds = database.prepare(
    `SELECT row, id FROM messages WHERE chain = ? AND counter BETWEEN ? AND ?
     AND row NOT IN (SELECT row FROM failures)`,
  );
  const insertFailure = database.prepare('INSERT OR IGNORE INTO failures (row, reason) VALUES (?, ?)');

  /** What of `ranges` is not yet in `known`. */
  const newlyIn = (known: readonly Range[], ranges: readonly Range[]): Range[] =>
    ranges.flatMap(({ first, last }) => missingFrom(known, first, last));

  const changedAt = (chain: Chain, ranges: readonly Range[], select = selectIds): ChangedBatch => {
    const found = ranges.flatMap(
      ({ first, last }) => select.all(chain.id, first, last) as unknown as { row: number; id: Uint8Array }[],
    );
    const ids = new Uint8Array(found.length * ID_BYTES);
    for (const [index, { id }] of found.entries()) ids.set(id, index * ID_BYTES);
    return {
      peer: chains.peerIdOf(chain.peer),
      rows: Float64Array.from(found, ({ row }) => row),
      ids,
    };
  };

  /** Marks what was not settled before as settled: its delivery is over, one way or the other. */
  const settle = (chain: Chain, ranges: readonly Range[]): Range[] => {
    const settled = newlyIn(chain.delivered, ranges);
    if (settled.length === 0) return settled;
    chain.delivered = withRanges(chain.delivered, settled);
    const first = contiguousUpTo(chain.delivered) + 1;
    chain.stored = chain.stored.filter(({ last }) => last >= first);
    chains.touch(chain);
    chains.flush();
    return settled;
  };

  /** The chain that a peer names, if we wrote that far in it. */
  const ownChain = (peerId: string, bytes: Uint8Array, last: number): Chain | undefined => {
    const peer = chains.findPeer(peerId);
    const chain = peer === undefined ? undefined : chains.find(peer, OUTGOING, bytes);
    return chain !== undefined && last <= chain.lastCounter ? chain : undefined;
  };

  return {
    /** The other end has committed these. Undefined when it names a chain or counters that were never sent. */
    'messages.acked': ({
      peer,
      chain: bytes,
      ranges,
    }: {
      peer: string;
      chain: Uint8Array;
      ranges: Range[];
    }): SettledBatch | undefined => {
      const chain = ownChain(peer, bytes, ranges.at(-1)?.last ?? 0);
      if (chain === undefined) return undefined;
      const settled = settle(chain, ranges);
      return { ...changedAt(chain, settled), chain: chain.id, settled };
    },

    /** A mailbox keeps these. Without ranges: it was given again what it kept. */
    'messages.stored': ({
      chain: id,
      ranges,
      nowMs,
    }: {
      chain: number;
      ranges: Range[];
      nowMs: number;
    }): ChangedBatch => {
      const chain = chains.byId(id);
      const news = newlyIn(withRanges(chain.stored, chain.delivered), ranges);
      chain.stored = withRanges(chain.stored, news);
      chain.storedMs = nowMs;
      chains.touch(chain);
      chains.flush();
      return changedAt(chain, news);
    },

    /** The other end will never accept this one. */
    'messages.refused': ({
      peer,
      chain: bytes,
      counter,
      reason,
    }: {
      peer: string;
      chain: Uint8Array;
      counter: number;
      reason: string;
    }): SettledBatch | undefined => {
      const chain = ownChain(peer, bytes, counter);
      if (chain === undefined) return undefined;
      const settled = settle(chain, [{ first: counter, last: counter }]);
      const changed = changedAt(chain, settled);
      for (const row of changed.rows) insertFailure.run(row, reason);
      return { ...changed, chain: chain.id, settled };
    },

    /** The other end's person has read up to here, so its node has it. */
    'messages.receipt': ({
      peer,
      chain: bytes,
      readUpTo,
    }: {
      peer: string;
      chain: Uint8Array;
      readUpTo: number;
    }): SettledBatch | undefined => {
      const chain = ownChain(peer, bytes, readUpTo);
      if (chain === undefined || readUpTo <= chain.readTo) return undefined;
      const changed = changedAt(chain, [{ first: chain.readTo + 1, last: readUpTo }], selectUnfailedIds);
      chain.readTo = readUpTo;
      chains.touch(chain);
      const settled = settle(chain, [{ first: 1, last: readUpTo }]);
      chains.flush();
      return { ...changed, chain: chain.id, settled };
    },
  };
}

export type StatesOperations = ReturnType<typeof statesTable>;
