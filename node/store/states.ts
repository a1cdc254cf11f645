import type { DatabaseSync } from 'node:sqlite';
import { ID_BYTES, messageHash } from '../../protocols/chat/message.ts';
import type { AckedRange } from '../../protocols/chat/protocol.ts';
import { addRange, contiguousUpTo, withoutRanges, withRanges } from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import type { Chain, Chains } from './chains.ts';
import { chainForks } from './forks.ts';
import { OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** Own messages that changed state together. */
export interface ChangedBatch {
  peer: string;
  rows: Float64Array;
  ids: Uint8Array;
}

/** Own messages whose delivery was settled together. */
export interface SettledBatch extends ChangedBatch {
  /** `chains.id`, and the counters that were not settled before, or were and had been lost by the other end since. */
  chain: number;
  settled: Range[];
}

/** What came of an acknowledgement. */
export interface AckedBatch extends SettledBatch {
  /**
   * - `taken`: these messages are delivered.
   * - `forked`: the other end knows the chain otherwise, as this store is an old copy of itself. Nothing was believed. What
   *   was not settled has moved to a new chain and is sent again; these messages, which a mailbox kept, are queued again.
   * - `impossible`: the same, but there have been so many new chains that it is no longer believed to be a mishap.
   */
  outcome: 'taken' | 'forked' | 'impossible';
}

/** What became of own messages: told by others, range by range. */
export function statesTable(database: DatabaseSync, sealed: SealedColumns, chains: Chains) {
  const selectIds = database.prepare(
    'SELECT row, id FROM messages WHERE chain = ? AND counter BETWEEN ? AND ?',
  );
  const selectUnfailedIds = database.prepare(
    `SELECT row, id FROM messages WHERE chain = ? AND counter BETWEEN ? AND ?
     AND row NOT IN (SELECT row FROM failures)`,
  );
  const selectUnfailed = database.prepare(
    `SELECT counter FROM messages WHERE chain = ? AND counter BETWEEN ? AND ?
     AND row NOT IN (SELECT row FROM failures) ORDER BY counter`,
  );
  const selectBody = database.prepare('SELECT id, body FROM messages WHERE chain = ? AND counter = ?');
  const insertFailure = database.prepare('INSERT OR IGNORE INTO failures (row, reason) VALUES (?, ?)');
  const fork = chainForks(database, sealed, chains);

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
    const settled = withoutRanges(ranges, chain.delivered);
    if (settled.length === 0) return settled;
    chain.delivered = withRanges(chain.delivered, settled);
    const first = contiguousUpTo(chain.delivered) + 1;
    chain.stored = chain.stored.filter(({ last }) => last >= first);
    chains.touch(chain);
    chains.flush();
    return settled;
  };

  /** What the other end had lost and now has, or will never have. */
  const regain = (chain: Chain, ranges: readonly Range[]): Range[] => {
    if (chain.lacking.length === 0) return [];
    const left = withoutRanges(chain.lacking, ranges);
    const regained = withoutRanges(chain.lacking, left);
    if (regained.length === 0) return [];
    chain.lacking = left;
    chains.touch(chain);
    chains.flush();
    return regained;
  };

  /** Notes what was delivered and is not among what the other end says that it has: it is an old copy of itself. */
  const noteLoss = (chain: Chain, held: readonly Range[]): void => {
    const gone = withoutRanges(withoutRanges(chain.delivered, held), chain.lacking);
    let { lacking } = chain;
    for (const { first, last } of gone) {
      // Not what it refused, nor what has moved to another chain.
      for (const { counter } of selectUnfailed.iterate(chain.id, first, last))
        lacking = addRange(lacking, counter as number, counter as number);
    }
    if (lacking === chain.lacking) return;
    chain.lacking = lacking;
    chains.touch(chain);
    chains.flush();
  };

  const ownChain = (peerId: string, bytes: Uint8Array): Chain | undefined => {
    const peer = chains.findPeer(peerId);
    return peer === undefined ? undefined : chains.find(peer, OUTGOING, bytes);
  };

  /** Whether what the other end has under a counter is what we wrote there. */
  const isOurs = (chain: Chain, counter: number, hash: Uint8Array): boolean => {
    if (counter > chain.lastCounter) return false;
    if (hash.byteLength === 0) return true;
    if (counter === chain.lastCounter) return Buffer.compare(hash, chain.lastHash) === 0;
    const row = selectBody.get(chain.id, counter) as { id: Uint8Array; body: Uint8Array } | undefined;
    if (row === undefined) return false;
    const body = sealed.body.open(row.body, chain.id, counter, row.id);
    return Buffer.compare(hash, messageHash(body)) === 0;
  };

  return {
    /**
     * The other end has committed these. Undefined for a chain that is not known: it was begun after the copy was made that
     * this store is restored from.
     *
     * @param opening what is not named here, the other end does not have
     */
    'messages.acked': ({
      peer,
      chain: bytes,
      ranges,
      opening,
    }: {
      peer: string;
      chain: Uint8Array;
      ranges: AckedRange[];
      opening: boolean;
    }): AckedBatch | undefined => {
      const chain = ownChain(peer, bytes);
      if (chain === undefined) return undefined;
      // What it has, or lacks, it has or lacks whatever we wrote there.
      const regained = regain(chain, ranges);
      if (opening) noteLoss(chain, ranges);
      const ours = ranges.every(({ last, hash }) => isOurs(chain, last, hash));
      if (!ours && chains.outgoing(chain.peer) === chain) {
        const requeued = changedAt(chain, withoutRanges(chain.stored, chain.delivered));
        const left = fork(chain);
        return left === undefined
          ? { ...changedAt(chain, []), outcome: 'impossible', chain: chain.id, settled: regained }
          : { ...requeued, outcome: 'forked', chain: chain.id, settled: [...left, ...regained] };
      }
      // A chain that was left has nothing to settle any more, and what a peer says of it may be about another past of ours.
      const settled = ours ? settle(chain, ranges) : [];
      return {
        ...changedAt(chain, settled),
        outcome: 'taken',
        chain: chain.id,
        settled: [...settled, ...regained],
      };
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
      const news = withoutRanges(ranges, withRanges(chain.stored, chain.delivered));
      chain.stored = withRanges(chain.stored, news);
      chain.storedMs = nowMs;
      chains.touch(chain);
      chains.flush();
      return changedAt(chain, news);
    },

    /** What mailboxes keep of ours is of no use to the other end: what is not delivered is left there again. */
    'messages.unstored': ({ peer: peerId }: { peer: string }): ChangedBatch[] => {
      const peer = chains.findPeer(peerId);
      const stored = (peer === undefined ? [] : chains.ofPeer(peer, OUTGOING)).filter(
        (chain) => chain.stored.length > 0,
      );
      const batches = stored.map((chain) => {
        const batch = changedAt(chain, withoutRanges(chain.stored, chain.delivered));
        chain.stored = [];
        chains.touch(chain);
        return batch;
      });
      chains.flush();
      return batches;
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
      const chain = ownChain(peer, bytes);
      if (chain === undefined || counter > chain.lastCounter) return undefined;
      const refused = [{ first: counter, last: counter }];
      const settled = settle(chain, refused);
      const changed = changedAt(chain, settled);
      for (const row of changed.rows) insertFailure.run(row, sealed.reason.sealText(reason, row));
      return { ...changed, chain: chain.id, settled: [...settled, ...regain(chain, refused)] };
    },

    /** The other end's person has read up to here, so its node has it. */
    'messages.receipt': ({
      peer,
      chain: bytes,
      readUpTo,
      hash,
    }: {
      peer: string;
      chain: Uint8Array;
      readUpTo: number;
      hash: Uint8Array;
    }): SettledBatch | undefined => {
      const chain = ownChain(peer, bytes);
      if (chain === undefined || readUpTo <= chain.readTo || !isOurs(chain, readUpTo, hash)) return undefined;
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
