import type { DatabaseSync } from 'node:sqlite';
import { encodeMessage, messageHash } from '../../protocols/chat/message.ts';
import { missingFrom } from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { MAX_CHAINS_PER_PEER } from './chains.ts';
import type { Chain, Chains } from './chains.ts';
import { decodeStored } from './damage.ts';
import { OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** Messages rewritten at a time: the longest take 12 MiB. */
const PAGE = 256;

interface OwnRow {
  row: number;
  counter: number;
  id: Uint8Array;
  body: Uint8Array;
}

/**
 * Leaves a chain that the other end knows otherwise, because this store is an old copy of itself: a new chain begins, and
 * what is not settled in the old one moves there, as the same messages under new counters. The old one is over.
 *
 * Bounded by the chains that one author may begin with another; beyond that nothing happens, and the answer is undefined.
 *
 * @returns the counters that were left
 */
export function chainForks(
  database: DatabaseSync,
  sealed: SealedColumns,
  chains: Chains,
): (old: Chain) => Range[] | undefined {
  const selectPage = database.prepare(
    'SELECT row, counter, id, body FROM messages WHERE chain = ? AND counter BETWEEN ? AND ? ORDER BY counter LIMIT ?',
  );
  const move = database.prepare('UPDATE messages SET chain = ?, counter = ?, body = ? WHERE row = ?');

  const append = (old: Chain, chain: Chain, { row, counter: before, id, body }: OwnRow): void => {
    const message = decodeStored(sealed.body.open(body, old.id, before, id));
    const counter = chain.lastCounter + 1;
    const moved = encodeMessage({ ...message, chain: chain.chain, counter, previous: chain.lastHash });
    move.run(chain.id, counter, sealed.body.seal(moved, chain.id, counter, id), row);
    chain.lastCounter = counter;
    chain.lastHash = messageHash(moved);
    chain.clock = { ms: message.clockMs, count: message.clockCount };
  };

  return (old) => {
    if (chains.ofPeer(old.peer, OUTGOING).length >= MAX_CHAINS_PER_PEER) return undefined;
    const next = chains.beginOutgoing(old.peer);
    const left = missingFrom(old.delivered, 1, old.lastCounter);
    for (const { first, last } of left) {
      for (let from = first; from <= last;) {
        const page = selectPage.all(old.id, from, last, PAGE) as unknown as OwnRow[];
        for (const row of page) append(old, next, row);
        from = (page.at(-1)?.counter ?? last) + 1;
      }
    }
    old.delivered = old.lastCounter === 0 ? [] : [{ first: 1, last: old.lastCounter }];
    old.stored = [];
    chains.touch(old);
    chains.touch(next);
    chains.flush();
    return left;
  };
}
