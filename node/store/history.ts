import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { contiguousUpTo, hasCounter, missingBefore } from '../../protocols/chat/ranges.ts';
import type { Chain, Chains } from './chains.ts';
import { decodeStored, isDamage } from './damage.ts';
import type { HeldMessages } from './held.ts';
import { formatMessageId, parseMessageId } from './message-id.ts';
import { INCOMING, OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** A message as the rest of the daemon sees it. Times are milliseconds since 1970. */
export interface StoredMessage {
  row: number;
  id: string;
  peer: string;
  outgoing: boolean;
  text: string;
  sentAtMs: number;
  receivedAtMs: number;
  state: 'queued' | 'stored' | 'delivered' | 'read' | 'failed' | 'unread';
  counter: number;
  /** Messages of this author just before this one that have not arrived. */
  missing: number;
  failure: string | null;
  clockMs: number;
  clockCount: number;
}

/** What of an author's chain has been read: all up to a counter, and the hash of the message there. */
export interface ReadUpTo {
  chain: Uint8Array;
  readUpTo: number;
  hash: Uint8Array;
}

/** Where a page of history begins: the message that stands just after it. */
export interface HistoryPosition {
  clockMs: number;
  clockCount: number;
  row: number;
}

export interface ConversationRow {
  peer: string;
  unread: number;
  last: StoredMessage;
}

interface MessageRow {
  row: number;
  chain: number;
  counter: number;
  peer: number;
  direction: number;
  clock_ms: number;
  clock_count: number;
  received_ms: number;
  id: Uint8Array;
  body: Uint8Array;
  reason: Uint8Array | null;
  read_row: number;
}

const SELECT = `
  SELECT m.*, f.reason, p.read_row FROM messages m
  JOIN peers p ON p.id = m.peer LEFT JOIN failures f ON f.row = m.row`;

function stateOf(row: MessageRow, chain: Chain): StoredMessage['state'] {
  if (row.direction === INCOMING) return row.row <= row.read_row ? 'read' : 'unread';
  if (row.reason !== null) return 'failed';
  if (row.counter <= chain.readTo) return 'read';
  if (hasCounter(chain.delivered, row.counter)) return 'delivered';
  return hasCounter(chain.stored, row.counter) ? 'stored' : 'queued';
}

/**
 * Reading what was written. Of a list, what can't be read is left out; `onDamage` is told of it.
 */
export function historyTable(
  database: DatabaseSync,
  sealed: SealedColumns,
  chains: Chains,
  held: HeldMessages,
  onDamage: (error: Error) => void,
) {
  const selectByPeer = database.prepare(
    `${SELECT} WHERE m.peer = ? AND (m.clock_ms, m.clock_count, m.row) < (?, ?, ?)
     ORDER BY m.clock_ms DESC, m.clock_count DESC, m.row DESC LIMIT ?`,
  );
  const selectInbox = database.prepare(
    `${SELECT} WHERE m.row > ? AND m.direction = ${INCOMING} ORDER BY m.row LIMIT ?`,
  );
  const selectUnread = database.prepare(
    `${SELECT} WHERE m.row > max(?, (SELECT coalesce(min(read_row), ${Number.MAX_SAFE_INTEGER}) FROM peers WHERE unread > 0))
     AND m.direction = ${INCOMING} AND m.row > p.read_row ORDER BY m.row LIMIT ?`,
  );
  const selectAfter = database.prepare(`${SELECT} WHERE m.row > ? ORDER BY m.row LIMIT ?`);
  // Others choose their ids: theirs never hides one of ours, nor one that was there before.
  const selectById = database.prepare(`${SELECT} WHERE m.id = ? ORDER BY m.direction, m.row LIMIT 1`);
  const selectRowOf = database.prepare(
    'SELECT row FROM messages WHERE id = ? AND peer = ? ORDER BY direction DESC LIMIT 1',
  );
  const selectNewestRow = database.prepare('SELECT coalesce(max(row), 0) AS row FROM messages');
  const selectPeers = database.prepare('SELECT id, unread FROM peers');
  // The unary plus keeps SQLite on the row range, which is the short tail of the table.
  const countAfter = database.prepare(
    `SELECT count(*) AS n FROM messages WHERE row > ? AND +peer = ? AND direction = ${INCOMING}`,
  );
  const setRead = database.prepare('UPDATE peers SET read_row = ?, unread = ? WHERE id = ?');
  const selectReadPeer = database.prepare('SELECT read_row, unread FROM peers WHERE id = ?');
  const selectFirstUnread = database.prepare(
    `SELECT min(counter) AS counter FROM (
       SELECT counter FROM messages WHERE row > :row AND +chain = :chain
       UNION ALL SELECT counter FROM former_places WHERE row > :row AND chain = :chain)`,
  );
  const sumUnread = database.prepare('SELECT coalesce(sum(unread), 0) AS n FROM peers');
  const oldestPending = database.prepare('SELECT clock_ms FROM messages WHERE chain = ? AND counter = ?');

  const view = (row: MessageRow): StoredMessage => {
    const chain = chains.byId(row.chain);
    const message = decodeStored(sealed.body.open(row.body, row.chain, row.counter, row.id));
    return {
      row: row.row,
      id: formatMessageId(row.id),
      peer: chains.peerIdOf(row.peer),
      outgoing: row.direction === OUTGOING,
      text: message.text,
      sentAtMs: message.sentAtMs,
      receivedAtMs: row.received_ms,
      state: stateOf(row, chain),
      counter: row.counter,
      missing: row.direction === INCOMING ? missingBefore(chain.delivered, row.counter) : 0,
      failure: row.reason === null ? null : sealed.reason.openText(row.reason, row.row),
      clockMs: row.clock_ms,
      clockCount: row.clock_count,
    };
  };
  const selectRow = database.prepare(`${SELECT} WHERE m.row = ?`);
  const messageAt = (row: number): StoredMessage | undefined => {
    const read = selectRow.get(row) as unknown as MessageRow | undefined;
    return read === undefined ? undefined : view(read);
  };
  // The rows of the same lists, by an index, which may be whole where the table is not, and by the table.
  const rowsOf = (rest: string): StatementSync[] =>
    ['INDEXED BY messages_by_clock', 'NOT INDEXED'].map((by) =>
      database.prepare(`SELECT row FROM messages ${by} ${rest}`),
    );
  const rowsByPeer = rowsOf(
    `WHERE peer = ? AND (clock_ms, clock_count, row) < (?, ?, ?)
     ORDER BY clock_ms DESC, clock_count DESC, row DESC`,
  );
  const rowsAfter = rowsOf('WHERE row > ? ORDER BY row');

  /** By the first way that can be gone to the end. */
  const firstReadable = ([first, ...others]: StatementSync[], keys: SQLInputValue[]): { row: number }[] => {
    try {
      return first!.all(...keys) as unknown as { row: number }[];
    } catch (error) {
      if (!isDamage(error) || others.length === 0) throw error;
      return firstReadable(others, keys);
    }
  };

  /** A list of messages; when part of it can't be read, one by one what can. */
  const list = (
    [select, ...values]: [StatementSync, ...SQLInputValue[]],
    limit: number,
    rows: StatementSync[],
    keys: SQLInputValue[],
    wanted: (message: StoredMessage) => boolean = () => true,
  ): StoredMessage[] => {
    try {
      return (select.all(...values, limit) as unknown as MessageRow[]).map(view);
    } catch (error) {
      if (!isDamage(error)) throw error;
      onDamage(error as Error);
    }
    const found: StoredMessage[] = [];
    for (const { row } of firstReadable(rows, keys)) {
      try {
        const message = messageAt(row);
        if (message !== undefined && wanted(message)) found.push(message);
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
      if (found.length === limit) break;
    }
    return found;
  };

  /** Of a status, too, what can't be read is left out. */
  const orDamaged = <Value>(read: () => Value): Value | undefined => {
    try {
      return read();
    } catch (error) {
      if (!isDamage(error)) throw error;
      onDamage(error as Error);
      return undefined;
    }
  };
  const readableChain = (id: number): Chain | undefined => orDamaged(() => chains.byId(id));
  const pendingClock = (chain: Chain): { clock_ms: number } | undefined =>
    orDamaged(
      () =>
        oldestPending.get(chain.id, contiguousUpTo(chain.delivered) + 1) as { clock_ms: number } | undefined,
    );

  const END: HistoryPosition = { clockMs: Number.MAX_SAFE_INTEGER, clockCount: 0, row: 0 };

  return {
    /** A page of one conversation, in reading order, ending before a position (default: the newest page). */
    'history.page': ({
      peer,
      before,
      limit,
    }: {
      peer: string;
      before?: HistoryPosition;
      limit: number;
    }): StoredMessage[] => {
      const key = chains.findPeer(peer);
      if (key === undefined) return [];
      const { clockMs, clockCount, row } = before ?? END;
      const keys = [key, clockMs, clockCount, row];
      return list([selectByPeer, ...keys], limit, rowsByPeer, keys).toReversed();
    },

    /** Messages from others after a row, in the order they arrived. */
    'history.inbox': ({
      after,
      unread,
      limit,
    }: {
      after: number;
      unread: boolean;
      limit: number;
    }): StoredMessage[] =>
      list(
        [unread ? selectUnread : selectInbox, after],
        limit,
        rowsAfter,
        [after],
        ({ outgoing, state }) => !outgoing && (!unread || state === 'unread'),
      ),

    /** Every message after a row, in the order they were committed here. */
    'history.after': ({ row, limit }: { row: number; limit: number }): StoredMessage[] =>
      list([selectAfter, row], limit, rowsAfter, [row]),

    /** The messages of rows, in the order asked for. */
    'history.rows': ({ rows }: { rows: readonly number[] }): StoredMessage[] =>
      rows.flatMap((row) => orDamaged(() => messageAt(row)) ?? []),

    'history.message': ({ id }: { id: string }): StoredMessage | undefined => {
      const row = selectById.get(parseMessageId(id)) as unknown as MessageRow | undefined;
      return row === undefined ? undefined : view(row);
    },

    'history.newest-row': (): number => (selectNewestRow.get() as { row: number }).row,

    /** Everybody there is a history with, the latest first. */
    'history.conversations': (): ConversationRow[] =>
      (selectPeers.all() as unknown as { id: number; unread: number }[])
        .flatMap(({ id, unread }) => {
          const keys = [id, END.clockMs, END.clockCount, END.row];
          const [last] = list([selectByPeer, ...keys], 1, rowsByPeer, keys);
          return last === undefined ? [] : [{ peer: chains.peerIdOf(id), unread, last }];
        })
        .sort((a, b) => b.last.clockMs - a.last.clockMs),

    /** Totals for the status. */
    'history.summary': (): { undelivered: number; oldestMs: number | null; unread: number } => {
      let undelivered = 0;
      let oldestMs: number | null = null;
      for (const { id } of database.prepare(`SELECT id FROM chains WHERE direction = ${OUTGOING}`).all()) {
        const chain = readableChain(id as number);
        if (chain === undefined) continue;
        const held = chain.delivered.reduce((sum, { first, last }) => sum + last - first + 1, 0);
        if (held >= chain.lastCounter) continue;
        undelivered += chain.lastCounter - held;
        const oldest = pendingClock(chain);
        if (oldest !== undefined) oldestMs = Math.min(oldestMs ?? Infinity, oldest.clock_ms);
      }
      return { undelivered, oldestMs, unread: (sumUnread.get() as { n: number }).n };
    },

    /** How many messages of a peer are unread. */
    'history.unread': ({ peer }: { peer: string }): number => {
      const key = chains.findPeer(peer);
      return key === undefined ? 0 : (selectReadPeer.get(key) as { unread: number }).unread;
    },

    /**
     * Everything of the peer that arrived up to a message counts as read. Answers what is left unread, and per chain how
     * far that is, for receipts. Undefined when the peer has no such message.
     */
    'history.read': ({
      peer,
      id,
    }: {
      peer: string;
      id: string;
    }): { unread: number; receipts: ReadUpTo[] } | undefined => {
      const key = chains.findPeer(peer);
      if (key === undefined) return undefined;
      const message = selectRowOf.get(parseMessageId(id), key) as { row: number } | undefined;
      if (message === undefined) return undefined;
      const known = selectReadPeer.get(key) as { read_row: number; unread: number };
      if (message.row <= known.read_row) return { unread: known.unread, receipts: [] };
      const { n: unread } = countAfter.get(message.row, key) as { n: number };
      setRead.run(message.row, unread, key);
      const receipts = chains.ofPeer(key, INCOMING).flatMap((chain) => {
        const { counter } = selectFirstUnread.get({ row: message.row, chain: chain.id }) as {
          counter: number | null;
        };
        const readUpTo = Math.min(contiguousUpTo(chain.delivered), (counter ?? Infinity) - 1);
        return readUpTo === 0 ? [] : [{ chain: chain.chain, readUpTo, hash: held.hashAt(chain, readUpTo) }];
      });
      return { unread, receipts };
    },
  };
}

export type HistoryOperations = ReturnType<typeof historyTable>;
