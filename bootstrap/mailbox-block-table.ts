import type { DatabaseSync } from 'node:sqlite';
import { MAX_CAPABILITY_LIFETIME_MS } from '../protocols/mailbox/capability.ts';
import type { MailboxBlockLimits } from './mailbox-block-limits.ts';
import { usedBytesOf } from './used-bytes.ts';

/**
 * Whether a blob is a stranger's stands beside it; what was there before is nobody's in particular, so that no stranger loses
 * room to it. Blocks name peers by their ids: a peer's number is given up before a block is. A row stays when its depositor is
 * unblocked, for the capabilities that are void. How many rows there are stands in a row, since counting would read them all.
 */
export const MAILBOX_BLOCK_SCHEMA = `
  ALTER TABLE mailbox_blob ADD COLUMN of_stranger INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE mailbox_block (
    number INTEGER PRIMARY KEY,
    owner BLOB NOT NULL,
    depositor BLOB NOT NULL,
    blocked INTEGER NOT NULL,
    void_until_ms INTEGER NOT NULL,
    told_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX mailbox_block_by_owner ON mailbox_block (owner, depositor);
  CREATE INDEX mailbox_block_by_time ON mailbox_block (told_at_ms);
  CREATE TABLE mailbox_block_usage (blocks INTEGER NOT NULL) STRICT;
  INSERT INTO mailbox_block_usage VALUES (0);
`;

/** Rows that a sweep deletes in one call: about a millisecond. */
const SWEEP_ROWS = 500;

/** What an owner says about depositors, already checked. */
export interface BlockRequest {
  /** Peer id bytes. */
  owner: Uint8Array;
  /** Peer id bytes, each once, and none of them in `unblock`. */
  block: Uint8Array[];
  unblock: Uint8Array[];
  /** Capabilities issued until then are void for those in `block`. */
  atMs: number;
  nowMs: number;
}

export interface BlockResult {
  outcome: 'set' | 'full' | 'store-full';
  /** Depositors that the owner blocks afterwards. */
  blocked: number;
}

/** What an owner has said about one depositor. */
export interface Block {
  blocked: boolean;
  /** Capabilities issued until then are void. */
  voidUntilMs: number;
}

interface Row {
  number: number;
  key: string;
  blocked: boolean;
}

const keyOf = (peerId: Uint8Array): string =>
  Buffer.from(peerId.buffer, peerId.byteOffset, peerId.byteLength).toString('latin1');

/** Whom mailboxes refuse, for whom: a part of the mailboxes' part of the store. It keeps nothing in memory. */
export function mailboxBlocks(
  database: DatabaseSync,
  limits: Pick<MailboxBlockLimits, 'perOwner' | 'total' | 'storeBytes'>,
) {
  const any = database.prepare('SELECT 1 FROM mailbox_block WHERE owner = ? LIMIT 1');
  const find = database.prepare(
    'SELECT blocked, void_until_ms FROM mailbox_block WHERE owner = ? AND depositor = ?',
  );
  const rowsOf = database.prepare(
    'SELECT number, depositor, blocked FROM mailbox_block WHERE owner = ? ORDER BY told_at_ms, number',
  );
  const insert = database.prepare(
    'INSERT INTO mailbox_block (owner, depositor, blocked, void_until_ms, told_at_ms) VALUES (?, ?, 1, ?, ?)',
  );
  const block = database.prepare(
    'UPDATE mailbox_block SET blocked = 1, void_until_ms = ?, told_at_ms = ? WHERE number = ?',
  );
  const unblock = database.prepare('UPDATE mailbox_block SET blocked = 0 WHERE number = ?');
  const remove = database.prepare('DELETE FROM mailbox_block WHERE number = ?');
  const expired = database.prepare(
    'SELECT number FROM mailbox_block WHERE told_at_ms < ? ORDER BY told_at_ms LIMIT ?',
  );
  const usage = database.prepare('SELECT blocks FROM mailbox_block_usage');
  const use = database.prepare('UPDATE mailbox_block_usage SET blocks = blocks + ?');
  const usedBytes = usedBytesOf(database);
  const total = (): number => Number(usage.get()!['blocks']);

  return {
    /** Whether an owner has said anything about depositors. */
    hasAny: (owner: Uint8Array): boolean => any.get(owner) !== undefined,

    of(owner: Uint8Array, depositor: Uint8Array): Block | undefined {
      const row = find.get(owner, depositor);
      if (row === undefined) return undefined;
      return { blocked: row['blocked'] === 1, voidUntilMs: row['void_until_ms'] as number };
    },

    /** Does all of a request, or nothing. */
    set(request: BlockRequest): BlockResult {
      const { owner, atMs, nowMs } = request;
      const rows = rowsOf.all(owner).map((row): Row => ({
        number: row['number'] as number,
        key: keyOf(row['depositor'] as Uint8Array),
        blocked: row['blocked'] === 1,
      }));
      const known = new Map(rows.map((row) => [row.key, row]));
      const toBlock = new Set(request.block.map(keyOf));
      const toUnblock = new Set(request.unblock.map(keyOf));
      const before = rows.filter((row) => row.blocked).length;
      const stay = rows.filter((row) => row.blocked && !toUnblock.has(row.key) && !toBlock.has(row.key));
      const blocked = stay.length + toBlock.size;
      if (blocked > limits.perOwner) return { outcome: 'full', blocked: before };
      const added = request.block.filter((depositor) => !known.has(keyOf(depositor)));
      // Rows of those who are unblocked make room, the oldest first.
      const idle = rows.filter((row) => !toBlock.has(row.key) && (!row.blocked || toUnblock.has(row.key)));
      const gone = idle.slice(0, Math.max(0, rows.length + added.length - limits.perOwner));
      const more = added.length - gone.length;
      if (more > 0 && (total() + more > limits.total || usedBytes() > limits.storeBytes)) {
        return { outcome: 'store-full', blocked: before };
      }
      for (const { number } of gone) remove.run(number);
      const removed = new Set(gone);
      for (const row of rows) {
        if (toBlock.has(row.key)) block.run(atMs, nowMs, row.number);
        else if (row.blocked && toUnblock.has(row.key) && !removed.has(row)) unblock.run(row.number);
      }
      for (const depositor of added) insert.run(owner, depositor, atMs, nowMs);
      if (more !== 0) use.run(more);
      return { outcome: 'set', blocked };
    },

    /** Deletes some of what was told so long ago that no capability from before is good any more. */
    expire(nowMs: number): void {
      const rows = expired.all(nowMs - MAX_CAPABILITY_LIFETIME_MS, SWEEP_ROWS);
      for (const row of rows) remove.run(row['number'] as number);
      if (rows.length > 0) use.run(-rows.length);
    },

    total,
  };
}
