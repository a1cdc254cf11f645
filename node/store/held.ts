import type { DatabaseSync } from 'node:sqlite';
import { messageHash } from '../../protocols/chat/message.ts';
import type { Chain } from './chains.ts';
import type { ClockReading } from './clock.ts';
import { storedRow } from './damage.ts';
import { INCOMING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

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
  chain: number;
  counter: number;
  id: Uint8Array;
  body: Uint8Array;
  clock_ms: number;
  clock_count: number;
}

const SELECT = 'SELECT row, chain, counter, id, body, clock_ms, clock_count FROM messages';

/**
 * Looking up what is held of others. An author that was restored from an old copy of its store sends what it does not
 * know to have arrived again in another chain; the message then moves there, and is still found where it was before.
 */
export function heldMessages(database: DatabaseSync, sealed: SealedColumns) {
  const selectAt = database.prepare(`${SELECT} WHERE chain = ? AND counter = ?`);
  const selectFormer = database.prepare(
    `SELECT f.body, m.clock_ms, m.clock_count FROM former_places f JOIN messages m ON m.row = f.row
     WHERE f.chain = ? AND f.counter = ?`,
  );
  const selectById = database.prepare(`${SELECT} WHERE id = ? AND peer = ? AND direction = ${INCOMING}`);
  const selectRow = database.prepare(`${SELECT} WHERE row = ?`);
  const keepPlace = database.prepare(
    'INSERT INTO former_places (chain, counter, row, body) VALUES (?, ?, ?, ?)',
  );
  const setPlace = database.prepare(
    'UPDATE messages SET chain = ?, counter = ?, body = ?, clock_ms = ?, clock_count = ? WHERE row = ?',
  );

  const bodyOf = ({ body, chain, counter, id }: Columns): Uint8Array =>
    sealed.body.open(body, chain, counter, id);

  const fromColumns = (columns: Columns): HeldRow => ({
    row: columns.row,
    body: bodyOf(columns),
    clock: { ms: columns.clock_ms, count: columns.clock_count },
  });

  /** The message that came under a counter. */
  const at = (chain: Chain, counter: number): HeldMessage | undefined => {
    const found = selectAt.get(chain.id, counter);
    if (found !== undefined) return fromColumns(found as unknown as Columns);
    const former = selectFormer.get(chain.id, counter) as unknown as Columns | undefined;
    if (former === undefined) return undefined;
    return {
      body: sealed.formerBody.open(former.body, chain.id, counter),
      clock: { ms: former.clock_ms, count: former.clock_count },
    };
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
      const before = storedRow<Columns>(selectRow.get(row), 'a message');
      const place = sealed.formerBody.seal(bodyOf(before), before.chain, before.counter);
      keepPlace.run(before.chain, before.counter, row, place);
      const moved = sealed.body.seal(body, chain.id, counter, before.id);
      setPlace.run(chain.id, counter, moved, clock.ms, clock.count, row);
    },
  };
}

export type HeldMessages = ReturnType<typeof heldMessages>;
