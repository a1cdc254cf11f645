import type { DatabaseSync } from 'node:sqlite';
import { decodeMessage, messageHash } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import { opened } from './mend-sealed.ts';
import { INCOMING, OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

interface Stored {
  /** `messages.row`, or null for a former place. */
  row: number | null;
  counter: number;
  id: Uint8Array | null;
  /** Sealed. */
  body: Uint8Array;
}

interface ChainRow {
  id: number;
  peer: number;
  direction: number;
  chain: Uint8Array;
  lastCounter: number;
  /** Sealed. */
  lastHash: Uint8Array;
}

export interface DroppedMessages {
  /** How many of whom went. */
  dropped: { peer: number; direction: number; n: number }[];
  /** Chains (`chains.id`) whose row was made anew from their messages. */
  remade: Set<number>;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/**
 * Deletes every message that is not what its author wrote: what does not open is damaged, and each message has the hash of
 * the one before, so whoever follows vouches for it, and the chain's row for the last one.
 * Chains that have messages and no row get one.
 */
export function dropDamagedMessages(database: DatabaseSync, sealed: SealedColumns): DroppedMessages {
  const selectPlaces = database.prepare(
    `SELECT row, counter, id, body FROM messages WHERE chain = :chain
     UNION ALL SELECT NULL, counter, NULL, body FROM former_places WHERE chain = :chain ORDER BY counter DESC`,
  );
  const deleteMessage = database.prepare('DELETE FROM messages WHERE row = ?');
  const deleteFormer = database.prepare('DELETE FROM former_places WHERE chain = ? AND counter = ?');
  const setLast = database.prepare('UPDATE chains SET last_counter = ?, last_hash = ? WHERE id = ?');
  const dropped: DroppedMessages['dropped'] = [];
  const remade = remakeChains(database, sealed);

  const readable = (
    { counter, id, body: bytes }: Stored,
    chain: ChainRow,
  ): { message: ChatMessage; hash: Uint8Array } | undefined =>
    opened(() => {
      const body =
        id === null
          ? sealed.formerBody.open(bytes, chain.id, counter)
          : sealed.body.open(bytes, chain.id, counter, id);
      const message = decodeMessage(body);
      const agrees =
        message.counter === counter &&
        same(message.chain, chain.chain) &&
        (id === null || same(message.id, id));
      return agrees ? { message, hash: messageHash(body) } : undefined;
    });

  for (const chain of database
    .prepare(
      'SELECT id, peer, direction, chain, last_counter AS lastCounter, last_hash AS lastHash FROM chains',
    )
    .all() as unknown as ChainRow[]) {
    const lastHash = opened(() => sealed.lastHash.open(chain.lastHash, chain.id));
    let vouched: { counter: number; hash: Uint8Array } | undefined =
      chain.lastCounter > 0 && lastHash !== undefined && lastHash.byteLength > 0
        ? { counter: chain.lastCounter, hash: lastHash }
        : undefined;
    let top: { counter: number; hash: Uint8Array } | undefined;
    const damaged: Stored[] = [];
    for (const place of selectPlaces.iterate({ chain: chain.id })) {
      const stored = place as unknown as Stored;
      const found = readable(stored, chain);
      const expected = vouched?.counter === stored.counter ? vouched.hash : undefined;
      if (found === undefined || (expected !== undefined && !same(expected, found.hash))) {
        damaged.push(stored);
        continue;
      }
      top ??= { counter: stored.counter, hash: found.hash };
      vouched = { counter: stored.counter - 1, hash: found.message.previous };
    }
    for (const { row, counter } of damaged) {
      if (row === null) deleteFormer.run(chain.id, counter);
      else deleteMessage.run(row);
    }
    const n = damaged.filter(({ row }) => row !== null).length;
    if (n > 0) dropped.push({ peer: chain.peer, direction: chain.direction, n });
    // Of others, we have what we have. Of ours, what is written is written, though it may be lost.
    const keep = (counter: number, hash: Uint8Array): void => {
      if (counter === chain.lastCounter && lastHash !== undefined && same(hash, lastHash)) return;
      setLast.run(counter, sealed.lastHash.seal(hash, chain.id), chain.id);
    };
    if (chain.direction === INCOMING) keep(top?.counter ?? 0, top?.hash ?? new Uint8Array(0));
    else if (top !== undefined && top.counter >= chain.lastCounter) keep(top.counter, top.hash);
    // What follows proves to the other end that the chain is broken, and it begins anew.
    else if (lastHash === undefined) keep(chain.lastCounter, new Uint8Array(0));
  }
  return { dropped, remade };
}

/** Makes rows for chains that have none, from what their messages say. Nothing counts as delivered. */
function remakeChains(database: DatabaseSync, sealed: SealedColumns): Set<number> {
  const orphans = database
    .prepare(
      `SELECT chain, counter, id, peer, direction, body FROM messages
       WHERE chain NOT IN (SELECT id FROM chains)`,
    )
    .iterate();
  const named = new Map<number, { peer: number; direction: number; bytes: Uint8Array }>();
  for (const { chain, counter, id, peer, direction, body } of orphans) {
    if (named.has(chain as number) || ![OUTGOING, INCOMING].includes(direction as number)) continue;
    const message = opened(() =>
      decodeMessage(
        sealed.body.open(body as Uint8Array, chain as number, counter as number, id as Uint8Array),
      ),
    );
    // The next of the same chain may be readable.
    if (message === undefined) continue;
    named.set(chain as number, {
      peer: peer as number,
      direction: direction as number,
      bytes: message.chain.slice(),
    });
  }
  const insert = database.prepare(
    `INSERT OR IGNORE INTO chains (id, peer, direction, chain, last_counter, last_hash, clock_ms, clock_count,
       delivered, stored, stored_ms, read_to, ack_owed, lacking)
     SELECT :id, :peer, :direction, :bytes, 0, x'', coalesce(max(clock_ms), 0), 0, '[]', '[]', 0, 0, 0, '[]'
     FROM messages WHERE chain = :id`,
  );
  const made = new Set<number>();
  for (const [id, { peer, direction, bytes }] of named) {
    if (insert.run({ id, peer, direction, bytes }).changes > 0) made.add(id);
  }
  database.exec('DELETE FROM messages WHERE chain NOT IN (SELECT id FROM chains)');
  return made;
}
