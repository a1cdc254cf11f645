import type { DatabaseSync } from 'node:sqlite';
import { encodeMessage, ID_BYTES, messageHash } from '../../protocols/chat/message.ts';
import { CHAT_LIMITS, encodeMessageFrame } from '../../protocols/chat/protocol.ts';
import {
  addRange,
  contiguousUpTo,
  missingFrom,
  withoutRanges,
  withRanges,
} from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { encodeFrames, framedBytes } from '../../protocols/framing/frames.ts';
import type { Chain, Chains } from './chains.ts';
import { tick } from './clock.ts';
import { newMessageId } from './message-id.ts';
import { OUTGOING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** Messages just committed to the outbox, column by column: few objects for many messages. */
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

/** A chain with something for its peer. */
export interface PendingChain {
  chain: number;
  /** The first counter not delivered, or lost since by the other end, and the last written. */
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
  id: Uint8Array;
  body: Uint8Array;
}

/** The outbox: what is written, and what of it is to be sent. */
export function outgoingTable(database: DatabaseSync, sealed: SealedColumns, chains: Chains) {
  const insert = database.prepare(
    `INSERT INTO messages (chain, counter, peer, direction, clock_ms, clock_count, received_ms, id, body)
     VALUES (?, ?, ?, ${OUTGOING}, ?, ?, 0, ?, ?)`,
  );
  const selectBodies = database.prepare(
    'SELECT counter, id, body FROM messages WHERE chain = ? AND counter BETWEEN ? AND ? ORDER BY counter LIMIT ?',
  );
  /** What the other end has, as far as it has said. */
  const heldOf = ({ delivered, lacking }: Chain): Range[] =>
    lacking.length === 0 ? delivered : withoutRanges(delivered, lacking);

  const pendingOf = (chain: Chain): PendingChain | undefined => {
    const first = contiguousUpTo(heldOf(chain)) + 1;
    if (first > chain.lastCounter) return undefined;
    // What the other end lost and is away for goes to the mailbox in its turn, with what is left there a second time.
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
          sealed.body.seal(body, chain.id, counter, id),
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
      const done = skipStored ? withRanges(chain.stored, chain.delivered) : heldOf(chain);
      const frames: Uint8Array[] = [];
      let bytes = 0;
      let upTo = after;
      let ranges: Range[] = [];
      gaps: for (const gap of missingFrom(done, after + 1, chain.lastCounter)) {
        const room = Math.min(maxCount - frames.length, CHAT_LIMITS.maxUnacknowledged);
        if (room <= 0) break;
        // Row by row: a window's worth of the longest messages would be 200 MiB at once.
        for (const found of selectBodies.iterate(id, gap.first, gap.last, room)) {
          const { counter, id: messageId, body } = found as unknown as StoredBody;
          const frame = encodeMessageFrame(sealed.body.open(body, id, counter, messageId));
          if (frames.length > 0 && bytes + frame.byteLength > maxBytes) break gaps;
          frames.push(frame);
          bytes += frame.byteLength;
          upTo = counter;
          ranges = addRange(ranges, counter, counter);
        }
      }
      return { frames: encodeFrames(frames), count: frames.length, upTo, ranges };
    },
  };
}

export type OutgoingOperations = ReturnType<typeof outgoingTable>;
