import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@libp2p/interface';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { FrameDecoder } from '../../protocols/framing/frames.ts';
import { CHAT_LIMITS } from '../../protocols/chat/protocol.ts';
import type { NodeStore } from '../store/operations.ts';
import type { ChangedBatch } from '../store/outgoing.ts';
import { backoffMs } from './backoff.ts';
import { liveSender } from './live-sender.ts';
import type { LiveSender } from './live-sender.ts';

/** When nobody has answered after this long, messages go to the mailbox while dialling goes on. */
const MAILBOX_AFTER_MS = 2_000;

/** After a dial failed, a new message is left in the mailbox at once for this long, instead of dialling for each. */
const DIAL_REST_MS = 5_000;

/** What waits in a mailbox undelivered is left there again after this long: the mailbox may have lost its disk. */
const REDEPOSIT_AFTER_MS = 6 * 3600_000;

/** A stream that broke before this is no sign that the peer is well. */
const SHORT_LIVED_MS = 1_000;

/** Frames in one envelope: with its signature and padding it stays under 64 KiB. */
const BUNDLE_BYTES = 60 * 1024;

/** What delivery to a peer needs of the rest of the daemon. */
export interface Ways {
  /** A chat stream to the peer, dialled by every way there is. */
  openChat(peer: string, options: { signal: AbortSignal }): Promise<OpenChat>;
  /**
   * Leaves frames in the peer's mailboxes; resolves when one has committed them.
   *
   * @throws when there is none, or all refuse; the message says why
   */
  deposit(peer: string, frames: Uint8Array[], options: { signal: AbortSignal }): Promise<void>;
}

export interface PeerDeliveryInit {
  peer: string;
  store: NodeStore;
  ways: Ways;
  log: Logger;
  now: () => number;
  random: () => number;
  signal: AbortSignal;
  onStored(batch: ChangedBatch): void;
}

/** Brings what is in the outbox for one peer to it, by a live stream or its mailbox, for as long as it takes. */
export interface PeerDelivery {
  /** There is something for the peer, or it was asked for. Committed frames may come along. */
  wake(): void;
  /** The peer, or the network, is back: forget the backoff. */
  present(): void;
  readonly live: LiveSender | undefined;
  /** Why the peer could not be reached last, and why its mailbox refused. */
  readonly trouble: { dial: string | undefined; mailbox: string | undefined };
}

export function peerDelivery(init: PeerDeliveryInit): PeerDelivery {
  const { peer, store, ways, log, now, random, signal } = init;
  const trouble: PeerDelivery['trouble'] = { dial: undefined, mailbox: undefined };
  let live: LiveSender | undefined;
  let failures = 0;
  let lastFailureMs = -Infinity;
  let running = false;
  let rest: AbortController | undefined;
  /** Set by `wake`: something came since the loop looked last. */
  let fresh = false;

  const payAcks = async (send: (frames: Uint8Array[]) => Promise<void> | void): Promise<void> => {
    const { answers, held } = await store.call('messages.acks', { peer, owedOnly: true });
    if (answers.length === 0) return;
    await send(answers);
    await store.call('messages.acks-paid', { peer, held });
  };

  /** Leaves in the mailbox all that is not there yet. */
  const deposit = async (): Promise<void> => {
    try {
      for (const pending of await store.call('messages.pending', { peer })) {
        if (pending.firstUnstored === undefined && now() - pending.storedMs > REDEPOSIT_AFTER_MS) {
          await store.call('messages.unstored', { chain: pending.chain });
        }
        for (let after = pending.first - 1; ;) {
          const batch = await store.call('messages.frames', {
            chain: pending.chain,
            after,
            maxBytes: BUNDLE_BYTES,
            maxCount: CHAT_LIMITS.maxUnacknowledged,
            skipStored: true,
          });
          if (batch.count === 0) break;
          await ways.deposit(peer, new FrameDecoder(CHAT_LIMITS.maxFrameBytes).push(batch.frames), {
            signal,
          });
          after = batch.upTo;
          init.onStored(
            await store.call('messages.stored', { chain: pending.chain, ranges: batch.ranges, nowMs: now() }),
          );
        }
      }
      await payAcks((frames) => ways.deposit(peer, frames, { signal }));
      trouble.mailbox = undefined;
    } catch (error) {
      if (signal.aborted) return;
      trouble.mailbox = (error as Error).message;
      log('not left in the mailbox of %s: %s', peer, trouble.mailbox);
    }
  };

  /** Stays with an open stream until it is over. A stream that breaks at once counts as a failed attempt. */
  const stayLive = async (chat: OpenChat): Promise<void> => {
    const sender = liveSender(chat, peer, store);
    const sinceMs = now();
    live = sender;
    trouble.dial = undefined;
    try {
      await Promise.all([sender.run(), payAcks((frames) => sender.write(frames))]);
      failures = 0;
    } catch (error) {
      sender.close();
      if (now() - sinceMs < SHORT_LIVED_MS) throw error;
      failures = 0;
      log('lost %s: %s', peer, (error as Error).message);
    } finally {
      live = undefined;
    }
  };

  /** Tries once to reach the peer, with the mailbox after two seconds, and stays while the stream lasts. */
  const attempt = async (): Promise<void> => {
    const done = new AbortController();
    const late = delay(MAILBOX_AFTER_MS, undefined, { signal: done.signal }).then(deposit, () => undefined);
    let chat: OpenChat;
    try {
      chat = await ways.openChat(peer, { signal });
    } finally {
      done.abort();
      await late;
    }
    await stayLive(chat);
  };

  const hasWork = async (): Promise<boolean> =>
    fresh ||
    (await store.call('messages.pending', { peer })).length > 0 ||
    (await store.call('messages.acks', { peer, owedOnly: true })).answers.length > 0;

  const restBetween = async (ms: number): Promise<void> => {
    rest = new AbortController();
    await delay(ms, undefined, { signal: AbortSignal.any([signal, rest.signal]) }).catch(() => undefined);
    rest = undefined;
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted && (await hasWork())) {
      fresh = false;
      if (now() - lastFailureMs < DIAL_REST_MS) await deposit();
      else {
        try {
          await attempt();
          continue;
        } catch (error) {
          if (signal.aborted) return;
          failures++;
          lastFailureMs = now();
          trouble.dial = (error as Error).message;
          log('not reached %s: %s', peer, trouble.dial);
          await deposit();
        }
      }
      if (!fresh) await restBetween(backoffMs(failures, random()));
    }
  };

  const self: PeerDelivery = {
    get live() {
      return live;
    },
    trouble,
    wake() {
      if (live !== undefined) {
        live.wake();
        return;
      }
      fresh = true;
      rest?.abort();
      if (running || signal.aborted) return;
      running = true;
      run()
        .catch((error: unknown) => log.error('delivery to %s stopped: %e', peer, error))
        .finally(() => {
          running = false;
          if (fresh && !signal.aborted) self.wake();
        });
    },
    present() {
      failures = 0;
      lastFailureMs = -Infinity;
      rest?.abort();
    },
  };
  return self;
}
