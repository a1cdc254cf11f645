import { TimeoutError } from '@libp2p/interface';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { CHAT_LIMITS } from '../../protocols/chat/protocol.ts';
import { encodeFrames } from '../../protocols/framing/frames.ts';
import type { NodeStore } from '../store/operations.ts';

/** Read from the store at a time, when the outbox is behind: a few writes of 64 KiB. */
const PULL_BYTES = 256 * 1024;

/** Commits whose frames may wait for a read of the outbox to finish; beyond that the outbox is read again. */
const MAX_DEFERRED = 64;

/** Feeds one open chat stream from the outbox, in order, within the window of unacknowledged messages. */
export interface LiveSender {
  /**
   * Writes messages just committed, straight from the commit, when nothing older waits; otherwise they are taken from the
   * outbox in their turn.
   */
  offer(chain: number, first: number, last: number, encoded: Uint8Array): void;
  /** The peer has acknowledged `count` more messages. */
  acknowledged(count: number): void;
  /** There may be something new in the outbox. */
  wake(): void;
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

export function liveSender(chat: OpenChat, peer: string, store: NodeStore): LiveSender {
  /** Per chain, the last counter written to this stream. */
  const cursors = new Map<number, number>();
  let unacknowledged = 0;
  /** Offered while the outbox was being read; looked at again when that is done. */
  let deferred: Offer[] = [];
  let pulling = false;
  let dirty = true;
  let over = false;
  let wakeUp: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;

  const wake = (): void => {
    dirty = true;
    wakeUp?.();
  };
  const wrote = (count: number): void => {
    unacknowledged += count;
    timer ??= setTimeout(
      () => chat.close(new TimeoutError('messages were not acknowledged in time')),
      CHAT_LIMITS.ackTimeoutMs,
    );
  };

  /** Moves what the window allows from the outbox to the stream. True when there may be more. */
  const pull = async (): Promise<boolean> => {
    for (const { chain, first } of await store.call('messages.pending', { peer })) {
      const room = CHAT_LIMITS.maxUnacknowledged - unacknowledged;
      if (room <= 0) return false;
      const after = Math.max(cursors.get(chain) ?? 0, first - 1);
      const batch = await store.call('messages.frames', {
        chain,
        after,
        maxBytes: PULL_BYTES,
        maxCount: room,
        skipStored: false,
      });
      cursors.set(chain, Math.max(after, batch.upTo));
      if (batch.count > 0) {
        chat.write(batch.frames);
        wrote(batch.count);
        return true;
      }
    }
    return false;
  };

  /** Writes an offer that follows on what was written. True when it was, or had been written before. */
  const take = ({ chain, first, last, encoded }: Offer): boolean => {
    const cursor = cursors.get(chain);
    if (cursor !== undefined && last <= cursor) return true;
    if (cursor !== first - 1 || unacknowledged + last - first >= CHAT_LIMITS.maxUnacknowledged) return false;
    cursors.set(chain, last);
    chat.write(encoded);
    wrote(last - first + 1);
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
    acknowledged(count) {
      unacknowledged = Math.max(0, unacknowledged - count);
      if (unacknowledged === 0) {
        clearTimeout(timer);
        timer = undefined;
      } else if (count > 0) timer?.refresh();
      // Acknowledgements of the middle of a run need no look at the outbox: it is behind only when the window was full.
      if (dirty || unacknowledged + count >= CHAT_LIMITS.maxUnacknowledged) wake();
    },
    wake,
    write(frames) {
      chat.write(encodeFrames(frames));
    },
    async run() {
      const finished = chat.closed.finally(() => {
        over = true;
        clearTimeout(timer);
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
