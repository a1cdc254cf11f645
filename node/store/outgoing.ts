import type { DatabaseSync } from 'node:sqlite';
import { encodeMessage, ID_BYTES, messageHash } from '../../protocols/chat/message.ts';
import { CHAT_LIMITS, encodeMessageFrame } from '../../protocols/chat/protocol.ts';
import { addRange, contiguousUpTo, missingFrom } from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { encodeFrames, framedBytes } from '../../protocols/framing/frames.ts';
import type { Chain, Chains } from './chains.ts';
import { tick } from './clock.ts';
import { newMessageId } from './message-id.ts';
import { OUTGOING } from './schema.ts';

/** Messages just committed to the outbox, column by column: cheap to hand between threads. */
export interface SentBatch {
  rows: Float64Array;
  counters: Float64Array;
  /** `chains.id` of each. */
  chains: Float64Array;
  /** 16 bytes each. */
  ids: Uint8Array;
  /** Two numbers of each: the clock's milliseconds and count. */
  clocks: Float64Array;
  /** The frames ready for the wire, one after the other; `ends[i]` is where the i-th ends. */
  frames: Uint8Array;
  ends: Uint32Array;
}

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

/** A chain with something for its peer. */
export interface PendingChain {
  chain: number;
  /** The first counter not delivered, and the last written. */
  first: number;
  last: number;
  /** The same, for what is not in a mailbox either; absent when everything is. */
  firstUnstored?: number;
  /** When something of it was last left in a mailbox. */
  storedMs: number;
}

/** Frames to send, in order, from one chain. */
export interface FrameBatch {
  frames: Uint8Array;
  count: number;
  /** The highest counter looked at: continue after it. */
  upTo: number;
  /** The counters in `frames`. */
  ranges: Range[];
}

interface StoredBody {
  counter: number;
  body: Uint8Array;
}

/** The outbox and the states of own messages. */
export function outgoingTable(database: DatabaseSync, chains: Chains) {
  const insert = database.prepare(
    `INSERT INTO messages (chain, counter, peer, direction, clock_ms, clock_count, received_ms, id, body)
     VALUES (?, ?, ?, ${OUTGOING}, ?, ?, 0, ?, ?)`,
  );
  const selectBodies = database.prepare(
    'SELECT counter, body FROM messages WHERE chain = ? AND counter BETWEEN ? AND ? ORDER BY counter LIMIT ?',
  );
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

  const withRanges = (known: Range[], ranges: readonly Range[]): Range[] =>
    ranges.reduce<Range[]>((all, { first, last }) => addRange(all, first, last), known);

  /** The ranges of an acknowledgement, or an error when it names what was never sent. */
  const ownChain = (peerId: string, bytes: Uint8Array, last: number): Chain | undefined => {
    const peer = chains.findPeer(peerId);
    const chain = peer === undefined ? undefined : chains.find(peer, OUTGOING, bytes);
    return chain !== undefined && last <= chain.lastCounter ? chain : undefined;
  };

  const pendingOf = (chain: Chain): PendingChain | undefined => {
    const first = contiguousUpTo(chain.delivered) + 1;
    if (first > chain.lastCounter) return undefined;
    const unstored = missingFrom(withRanges(chain.stored, chain.delivered), first, chain.lastCounter)[0];
    return {
      chain: chain.id,
      first,
      last: chain.lastCounter,
      storedMs: chain.storedMs,
      ...(unstored === undefined ? {} : { firstUnstored: unstored.first }),
    };
  };

  return {
    /** Commits messages to the outbox, in order. */
    'messages.send': ({
      items,
      nowMs,
    }: {
      items: { peer: string; text: string }[];
      nowMs: number;
    }): SentBatch => {
      const rows = new Float64Array(items.length);
      const counters = new Float64Array(items.length);
      const chainIds = new Float64Array(items.length);
      const clocks = new Float64Array(items.length * 2);
      const ids = new Uint8Array(items.length * ID_BYTES);
      const ends = new Uint32Array(items.length);
      const frames: Uint8Array[] = [];
      for (const [index, { peer, text }] of items.entries()) {
        const chain = chains.outgoing(chains.peerKey(peer));
        const clock = tick(chains.clock, nowMs);
        const id = newMessageId(nowMs);
        const counter = chain.lastCounter + 1;
        const body = encodeMessage({
          id,
          chain: chain.chain,
          counter,
          previous: chain.lastHash,
          clockMs: clock.ms,
          clockCount: clock.count,
          sentAtMs: nowMs,
          text,
        });
        const { lastInsertRowid } = insert.run(
          chain.id,
          counter,
          chain.peer,
          clock.ms,
          clock.count,
          id,
          body,
        );
        chain.lastCounter = counter;
        chain.lastHash = messageHash(body);
        chain.clock = clock;
        chains.touch(chain);
        rows[index] = Number(lastInsertRowid);
        counters[index] = counter;
        chainIds[index] = chain.id;
        clocks[index * 2] = clock.ms;
        clocks[index * 2 + 1] = clock.count;
        ids.set(id, index * ID_BYTES);
        const frame = encodeMessageFrame(body);
        frames.push(frame);
        ends[index] = (index === 0 ? 0 : ends[index - 1]!) + framedBytes(frame.byteLength);
      }
      chains.flush();
      return { rows, counters, chains: chainIds, ids, clocks, frames: encodeFrames(frames), ends };
    },

    /** What is not delivered yet to one peer. */
    'messages.pending': ({ peer }: { peer: string }): PendingChain[] => {
      const key = chains.findPeer(peer);
      if (key === undefined) return [];
      return chains
        .ofPeer(key, OUTGOING)
        .map(pendingOf)
        .filter((pending) => pending !== undefined);
    },

    /** Everybody with an undelivered message from here, or an acknowledgement owed. */
    'messages.waiting-peers': (): string[] =>
      (database.prepare('SELECT id FROM chains ORDER BY id').all() as unknown as { id: number }[])
        .map(({ id }) => chains.byId(id))
        .filter((chain) => (chain.direction === OUTGOING ? pendingOf(chain) !== undefined : chain.ackOwed))
        .map((chain) => chains.peerIdOf(chain.peer))
        .filter((peer, index, all) => all.indexOf(peer) === index),

    /** Frames of what is not delivered after a counter, up to `maxBytes` (at least one) and `maxCount`. */
    'messages.frames': ({
      chain: id,
      after,
      maxBytes,
      maxCount,
      skipStored,
    }: {
      chain: number;
      after: number;
      maxBytes: number;
      maxCount: number;
      skipStored: boolean;
    }): FrameBatch => {
      const chain = chains.byId(id);
      const done = skipStored ? withRanges(chain.stored, chain.delivered) : chain.delivered;
      const frames: Uint8Array[] = [];
      let bytes = 0;
      let upTo = after;
      let ranges: Range[] = [];
      gaps: for (const gap of missingFrom(done, after + 1, chain.lastCounter)) {
        const room = Math.min(maxCount - frames.length, CHAT_LIMITS.maxUnacknowledged);
        if (room <= 0) break;
        // Row by row: a window's worth of the longest messages would be 200 MiB at once.
        for (const found of selectBodies.iterate(id, gap.first, gap.last, room)) {
          const { counter, body } = found as unknown as StoredBody;
          const frame = encodeMessageFrame(body);
          if (frames.length > 0 && bytes + frame.byteLength > maxBytes) break gaps;
          frames.push(frame);
          bytes += frame.byteLength;
          upTo = counter;
          ranges = addRange(ranges, counter, counter);
        }
      }
      return { frames: encodeFrames(frames), count: frames.length, upTo, ranges };
    },

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

export type OutgoingOperations = ReturnType<typeof outgoingTable>;
