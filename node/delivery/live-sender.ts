import { TimeoutError } from '@libp2p/interface';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { CHAT_LIMITS } from '../../protocols/chat/protocol.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import { encodeFrames } from '../../protocols/framing/frames.ts';
import type { VerifyOptions } from '../silent-connections.ts';
import type { NodeStore } from '../store/operations.ts';

/** Read from the store at a time, when the outbox is behind: a few writes of 64 KiB. */
const PULL_BYTES = 256 * 1024;

/** Bytes on their way to one peer: all that a slow one can make us keep. Fills a link of 300 Mbit/s and 100 ms. */
const MAX_UNACKNOWLEDGED_BYTES = 4 * 1024 * 1024;

/** Commits whose frames may wait for a read of the outbox to finish; beyond that the outbox is read again. */
const MAX_DEFERRED = 64;

/**
 * Messages that stay unacknowledged for this long make a connection suspect: more than any honest commit takes, and soon
 * enough for the mailbox to be of use.
 */
const SUSPECT_AFTER_MS = 3_000;

/**
 * An answer comes behind all that was written before: one message of the longest gets through in time at 40 kbit/s, many
 * by the acknowledgements of those before.
 */
const SLOWEST_BYTES_PER_MS = 16;

/** Feeds one open chat stream from the outbox, in order, within the window of unacknowledged messages. */
export interface LiveSender {
  /**
   * Writes messages just committed, straight from the commit, when nothing older waits; otherwise they are taken from the
   * outbox in their turn.
   */
  offer(chain: number, first: number, last: number, encoded: Uint8Array): void;
  /** The peer has acknowledged or refused these, which it had not before; written here or not. */
  acknowledged(chain: number, settled: readonly Range[]): void;
  /** There may be something new in the outbox. */
  wake(): void;
  /**
   * Resolves to true when the peer has given a sign of life, and what it acknowledges meanwhile is one; to false when it is
   * given up, or the stream is over anyway.
   */
  verify(): Promise<boolean>;
  /** Frames that are not messages. */
  write(frames: Uint8Array[]): void;
  /** Runs until the stream is over. Rejects with what broke it. */
  run(): Promise<void>;
  close(): void;
}

interface Offer {
  chain: number;
  first: number;
  last: number;
  encoded: Uint8Array;
}

export interface LiveSenderInit {
  chat: OpenChat;
  peer: string;
  store: NodeStore;
  /** Asks the peer for a sign of life, and breaks the connection when there is none: then it resolves to false. */
  verify(options: VerifyOptions): Promise<boolean>;
}

export function liveSender({ chat, peer, store, verify: askPeer }: LiveSenderInit): LiveSender {
  /** Per chain, the last counter written to this stream. */
  const cursors = new Map<number, number>();
  let unacknowledged = 0;
  let unacknowledgedBytes = 0;
  /** The outbox has more than the window took. */
  let full = false;
  /** Offered while the outbox was being read; looked at again when that is done. */
  let deferred: Offer[] = [];
  let pulling = false;
  let dirty = true;
  let over = false;
  let wakeUp: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let suspicion: NodeJS.Timeout | undefined;
  let asking: { done: Promise<boolean>; heard: AbortController } | undefined;

  const wake = (): void => {
    dirty = true;
    wakeUp?.();
  };
  const wrote = (count: number, bytes: number): void => {
    if (over) return;
    unacknowledged += count;
    unacknowledgedBytes += bytes;
    timer ??= setTimeout(
      () => chat.close(new TimeoutError('messages were not acknowledged in time')),
      CHAT_LIMITS.ackTimeoutMs,
    );
    suspicion ??= setTimeout(() => void suspect(), SUSPECT_AFTER_MS);
  };

  const verify = (): Promise<boolean> => {
    if (over) return Promise.resolve(false);
    if (asking === undefined) {
      const heard = new AbortController();
      const extraMs = Math.ceil(unacknowledgedBytes / SLOWEST_BYTES_PER_MS);
      const done = askPeer({ signal: heard.signal, extraMs }).finally(() => {
        asking = undefined;
      });
      asking = { done, heard };
    }
    return asking.done;
  };
  /** Asks again and again while messages wait: the peer may have been cut off since it answered. */
  const suspect = async (): Promise<void> => {
    const fired = suspicion;
    await verify();
    if (suspicion !== fired) return;
    clearTimeout(fired);
    suspicion = setTimeout(() => void suspect(), SUSPECT_AFTER_MS);
  };
  const trust = (): void => {
    clearTimeout(suspicion);
    suspicion = undefined;
  };

  /** Moves what the window allows from the outbox to the stream. True when there may be more. */
  const pull = async (): Promise<boolean> => {
    for (const { chain, first } of await store.call('messages.pending', { peer })) {
      const room = CHAT_LIMITS.maxUnacknowledged - unacknowledged;
      const roomBytes = MAX_UNACKNOWLEDGED_BYTES - unacknowledgedBytes;
      if (room <= 0 || roomBytes <= 0) {
        full = true;
        return false;
      }
      const after = Math.max(cursors.get(chain) ?? 0, first - 1);
      const batch = await store.call('messages.frames', {
        chain,
        after,
        maxBytes: Math.min(PULL_BYTES, roomBytes),
        maxCount: room,
        skipStored: false,
      });
      cursors.set(chain, Math.max(after, batch.upTo));
      if (batch.count > 0) {
        chat.write(batch.frames);
        wrote(batch.count, batch.frames.byteLength);
        return true;
      }
    }
    return false;
  };

  /** Writes an offer that follows on what was written. True when it was, or had been written before. */
  const take = ({ chain, first, last, encoded }: Offer): boolean => {
    const cursor = cursors.get(chain);
    if (cursor !== undefined && last <= cursor) return true;
    if (
      cursor !== first - 1 ||
      unacknowledged + last - first >= CHAT_LIMITS.maxUnacknowledged ||
      unacknowledgedBytes + encoded.byteLength > MAX_UNACKNOWLEDGED_BYTES
    ) {
      return false;
    }
    cursors.set(chain, last);
    chat.write(encoded);
    wrote(last - first + 1, encoded.byteLength);
    return true;
  };

  const feedFromOutbox = async (): Promise<void> => {
    dirty = false;
    pulling = true;
    try {
      while (!over && (await pull()));
    } finally {
      pulling = false;
      const offers = deferred;
      deferred = [];
      if (!offers.every(take)) dirty = true;
    }
  };

  return {
    offer(chain, first, last, encoded) {
      const offer = { chain, first, last, encoded };
      if (over) return;
      if (pulling && deferred.length < MAX_DEFERRED) deferred.push(offer);
      else if (pulling || dirty || !take(offer)) wake();
    },
    acknowledged(chain, settled) {
      // What lies beyond the cursor was acknowledged another way; what lies before it was written here.
      const cursor = cursors.get(chain) ?? 0;
      let count = 0;
      for (const { first, last } of settled) count += Math.max(0, Math.min(last, cursor) - first + 1);
      if (count === 0) return;
      unacknowledgedBytes *= 1 - Math.min(1, count / unacknowledged);
      unacknowledged = Math.max(0, unacknowledged - count);
      if (unacknowledged === 0) {
        unacknowledgedBytes = 0;
        clearTimeout(timer);
        timer = undefined;
        trust();
      } else {
        timer?.refresh();
        suspicion?.refresh();
      }
      asking?.heard.abort();
      if (full) {
        full = false;
        wake();
      }
    },
    wake,
    verify,
    write(frames) {
      chat.write(encodeFrames(frames));
    },
    async run() {
      const finished = chat.closed.finally(() => {
        over = true;
        clearTimeout(timer);
        trust();
        asking?.heard.abort();
        wakeUp?.();
      });
      const feeding = (async () => {
        while (!over) {
          if (dirty) {
            await feedFromOutbox();
            continue;
          }
          await new Promise<void>((resolve) => {
            wakeUp = resolve;
          });
          wakeUp = undefined;
        }
      })();
      try {
        await Promise.all([finished, feeding]);
      } catch (error) {
        chat.close(error as Error);
        throw error;
      }
    },
    close: () => chat.close(),
  };
}
