import type { DatabaseSync } from 'node:sqlite';
import { messageHash } from '../../protocols/chat/message.ts';
import type { Chain } from './chains.ts';
import type { ClockReading } from './clock.ts';
import { storedRow } from './damage.ts';
import { INCOMING } from './schema.ts';

/** A message of somebody else that is held, by one of the places it has come under. */
export interface HeldMessage {
  body: Uint8Array;
  clock: ClockReading;
}

/** Where a message stands now. */
export interface HeldRow {
  row: number;
  body: Uint8Array;
  clock: ClockReading;
}

interface Columns {
  row: number;
  body: Uint8Array;
  clock_ms: number;
  clock_count: number;
}

const fromColumns = ({ row, body, clock_ms: ms, clock_count: count }: Columns): HeldRow => ({
  row,
  body,
  clock: { ms, count },
});

/**
 * Looking up what is held of others. An author that was restored from an old copy of its store sends what it does not
 * know to have arrived again in another chain; the message then moves there, and is still found where it was before.
 */
export function heldMessages(database: DatabaseSync) {
  const selectAt = database.prepare(
    'SELECT row, body, clock_ms, clock_count FROM messages WHERE chain = ? AND counter = ?',
  );
  const selectFormer = database.prepare(
    `SELECT m.row, f.body, m.clock_ms, m.clock_count FROM former_places f JOIN messages m ON m.row = f.row
     WHERE f.chain = ? AND f.counter = ?`,
  );
  const selectById = database.prepare(
    `SELECT row, body, clock_ms, clock_count FROM messages WHERE id = ? AND peer = ? AND direction = ${INCOMING}`,
  );
  const keepPlace = database.prepare(
    'INSERT INTO former_places (chain, counter, row, body) SELECT chain, counter, row, body FROM messages WHERE row = ?',
  );
  const setPlace = database.prepare(
    'UPDATE messages SET chain = ?, counter = ?, body = ?, clock_ms = ?, clock_count = ? WHERE row = ?',
  );

  /** The message that came under a counter. */
  const at = (chain: Chain, counter: number): HeldMessage | undefined => {
    const found = selectAt.get(chain.id, counter) ?? selectFormer.get(chain.id, counter);
    return found === undefined ? undefined : fromColumns(found as unknown as Columns);
  };

  return {
    at,

    /** The hash of the message that came under a counter; it must be one that is held. */
    hashAt: (chain: Chain, counter: number): Uint8Array =>
      counter === chain.lastCounter
        ? chain.lastHash
        : messageHash(storedRow<HeldMessage>(at(chain, counter), 'a message').body),

    /** The message that an author sent with an id; it must be one that is held. */
    withId: (peer: number, id: Uint8Array): HeldRow =>
      fromColumns(storedRow<Columns>(selectById.get(id, peer), 'a message')),

    move(row: number, chain: Chain, counter: number, body: Uint8Array, clock: ClockReading): void {
      keepPlace.run(row);
      setPlace.run(chain.id, counter, body, clock.ms, clock.count, row);
    },
  };
}

export type HeldMessages = ReturnType<typeof heldMessages>;
