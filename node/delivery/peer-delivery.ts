import type { Logger } from '@libp2p/interface';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { FrameDecoder } from '../../protocols/framing/frames.ts';
import { CHAT_LIMITS, encodeSessionNotice } from '../../protocols/chat/protocol.ts';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import type { VerifyOptions } from '../silent-connections.ts';
import type { NodeStore } from '../store/operations.ts';
import type { PendingChain } from '../store/outgoing.ts';
import type { ChangedBatch } from '../store/states.ts';
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

/**
 * Messages in one blob: with what a bundle adds to each of the shortest ones, and the opening of a session, it stays under 64
 * KiB.
 */
const BUNDLE_BYTES = 60 * 1024;

/** Waiting, as a parameter. */
export type Sleep = (ms: number, options: { signal: AbortSignal }) => Promise<void>;

/** What delivery to a peer needs of the rest of the daemon. */
export interface Ways {
  /** A chat stream to the peer, dialled by every way there is. */
  openChat(peer: string, options: { signal: AbortSignal }): Promise<OpenChat>;
  /**
   * Seals frames and leaves them in the peer's mailboxes; resolves when one has committed them.
   *
   * @param options.anew in a new session if possible: the peer may not have the present one
   * @throws when there is none, or all refuse; the message says why
   */
  deposit(
    peer: string,
    frames: Uint8Array[],
    options: { signal: AbortSignal; anew?: boolean },
  ): Promise<void>;
  /** Asks the peer for a sign of life, and drops the connections that give none: then it resolves to false. */
  verify(peer: string, options: VerifyOptions): Promise<boolean>;
}

export interface PeerDeliveryInit {
  peer: string;
  store: NodeStore;
  ways: Ways;
  /** What to say to the peer when it is here, about prekeys. */
  askForPrekeys: () => Promise<Uint8Array[]>;
  log: Logger;
  now: () => number;
  random: () => number;
  /** Resolves after so long; rejects when the signal fires. */
  sleep: Sleep;
  signal: AbortSignal;
  onStored(batch: ChangedBatch): void;
}

/** Brings what is in the outbox for one peer to it, by a live stream or its mailbox, for as long as it takes. */
export interface PeerDelivery {
  /** There is something for the peer, or it was asked for. Committed frames may come along. */
  wake(): void;
  /** The peer, or the network, is back: forget the backoff, and see whether what is open still leads to it. */
  present(): void;
  readonly live: LiveSender | undefined;
  /** There is nothing to do and no stream: all it knows can be forgotten. */
  readonly idle: boolean;
  /** Why the peer could not be reached last, and why its mailbox refused. */
  readonly trouble: { dial: string | undefined; mailbox: string | undefined };
}

export function peerDelivery(init: PeerDeliveryInit): PeerDelivery {
  const { peer, store, ways, askForPrekeys, log, now, random, sleep, signal } = init;
  const trouble: PeerDelivery['trouble'] = { dial: undefined, mailbox: undefined };
  let live: LiveSender | undefined;
  /** Attempts that failed in a row, and when the last one did. */
  let failures = 0;
  let failedMs: number | undefined;
  let running = false;
  let rest: AbortController | undefined;
  /** Set by `wake`: something came since the loop looked last. */
  let fresh = false;
  /** Set by `present`: the peer came back since the loop looked last. */
  let returned = false;
  let dialling = false;
  /** The dial has taken so long that the mailbox is used meanwhile. */
  let overdue = false;
  /** The peer was seen while it was dialled; whether that was so at the failure before, too. */
  let seen = false;
  let seenBefore = false;
  let depositing: Promise<void> | undefined;
  let depositAgain = false;
  /** How far a chain has been left in the mailbox a second time. */
  const refreshedTo = new Map<number, number>();

  /** What is wrong with the store is said once for all peers, by those who hold it. */
  const complain = (what: string, peer: string, error: unknown): void =>
    (error instanceof StoreError ? log : log.error)(what, peer, error);

  /**
   * Acknowledgements that are owed, and what the peer has to be told of its sessions. That one was opened here is `urgent`
   * to nobody: through a mailbox it waits for something to go with, as its blob would be answered with another.
   */
  const owed = async () => {
    const [{ answers, ...acks }, notices] = await Promise.all([
      store.call('messages.acks', { peer, owedOnly: true }),
      store.call('sessions.notices', { peer }),
    ]);
    const isNoticed = notices.opened.length + notices.lost.length > 0;
    return {
      frames: isNoticed ? [...answers, encodeSessionNotice(notices)] : answers,
      hasLost: notices.lost.length > 0,
      urgent: answers.length + notices.lost.length > 0,
      async paid() {
        await Promise.all([
          ...(answers.length > 0 ? [store.call('messages.acks-paid', { peer, ...acks })] : []),
          ...(isNoticed ? [store.call('sessions.notices-paid', { peer, ...notices })] : []),
        ]);
      },
    };
  };

  const payStored = async (): Promise<void> => {
    const { frames, hasLost, urgent, paid } = await owed();
    if (!urgent) return;
    // A peer that has lost its session may have lost ours, too.
    await ways.deposit(peer, frames, { signal, anew: hasLost });
    if (hasLost) log('left word for %s of sessions that are lost here', peer);
    await paid();
  };

  /** Leaves what of a chain is not there yet, or all of it when that is long ago. Stops when the peer is here. */
  const depositChain = async ({ chain, first, firstUnstored, storedMs }: PendingChain): Promise<void> => {
    const refresh = firstUnstored === undefined;
    // A clock set back far makes it long ago, too.
    if (refresh && Math.abs(now() - storedMs) <= REDEPOSIT_AFTER_MS) return;
    let after = first - 1;
    if (refresh) after = Math.max(after, refreshedTo.get(chain) ?? 0);
    while (live === undefined) {
      const batch = await store.call('messages.frames', {
        chain,
        after,
        maxBytes: BUNDLE_BYTES,
        maxCount: CHAT_LIMITS.maxUnacknowledged,
        skipStored: !refresh,
      });
      if (batch.count > 0) {
        await ways.deposit(peer, new FrameDecoder(CHAT_LIMITS.maxFrameBytes).push(batch.frames), { signal });
        after = batch.upTo;
      }
      if (!refresh && batch.count > 0) {
        init.onStored(await store.call('messages.stored', { chain, ranges: batch.ranges, nowMs: now() }));
      } else if (batch.count > 0) refreshedTo.set(chain, after);
      else {
        if (refresh) await store.call('messages.stored', { chain, ranges: [], nowMs: now() });
        refreshedTo.delete(chain);
        return;
      }
    }
  };

  const depositAll = async (): Promise<void> => {
    try {
      for (const pending of await store.call('messages.pending', { peer })) await depositChain(pending);
      if (live === undefined) await payStored();
      trouble.mailbox = undefined;
    } catch (error) {
      if (signal.aborted) return;
      trouble.mailbox = (error as Error).message;
      log('not left in the mailbox of %s: %s', peer, trouble.mailbox);
    }
  };

  /** Leaves in the mailbox all that is not there yet, also what comes while it does. Never twice at a time. */
  const deposit = (): Promise<void> => {
    depositAgain = true;
    depositing ??= (async () => {
      do {
        depositAgain = false;
        await depositAll();
      } while (depositAgain && live === undefined && !signal.aborted);
      depositing = undefined;
    })();
    return depositing;
  };

  const payLive = async (sender: LiveSender): Promise<void> => {
    const { frames, paid } = await owed();
    if (frames.length === 0) return;
    sender.write(frames);
    await paid();
  };

  const greetLive = async (sender: LiveSender): Promise<void> => {
    const asked = await askForPrekeys();
    if (asked.length > 0) sender.write(asked);
    await payLive(sender);
  };

  /**
   * Pays on a stream that has been open for a while. That messages came through the mailbox beside it may mean that it
   * leads nowhere, and what goes out on it counts as paid.
   */
  const payVerified = async (sender: LiveSender): Promise<void> => {
    if (!(await owed()).urgent) return;
    if ((await sender.verify()) && live === sender) await payLive(sender);
  };

  /** Stays with an open stream until it is over. A stream that ends at once counts as a failed attempt. */
  const stayLive = async (chat: OpenChat): Promise<void> => {
    const sender = liveSender({ chat, peer, store, verify: (options) => ways.verify(peer, options) });
    const sinceMs = now();
    live = sender;
    fresh = false;
    trouble.dial = undefined;
    try {
      await Promise.all([sender.run(), greetLive(sender)]);
      if (now() - sinceMs < SHORT_LIVED_MS) throw new Error('the peer closed the stream at once');
    } catch (error) {
      sender.close();
      if (now() - sinceMs < SHORT_LIVED_MS) throw error;
      log('lost %s: %s', peer, (error as Error).message);
    } finally {
      live = undefined;
    }
    failures = 0;
  };

  /** Tries once to reach the peer, with the mailbox after two seconds, and stays while the stream lasts. */
  const attempt = async (): Promise<void> => {
    const done = new AbortController();
    sleep(MAILBOX_AFTER_MS, { signal: done.signal }).then(
      () => {
        if (done.signal.aborted) return;
        overdue = true;
        void deposit();
      },
      () => undefined,
    );
    let chat: OpenChat;
    dialling = true;
    seen = false;
    try {
      chat = await ways.openChat(peer, { signal });
      seen = false;
    } finally {
      done.abort();
      dialling = false;
      overdue = false;
    }
    await stayLive(chat);
  };

  const failed = (error: Error): void => {
    // Seen and yet not reached by an old address: try soon. Unless that goes on: then our own dials are what was seen.
    failures = seen && !seenBefore ? 1 : failures + 1;
    seenBefore = seen;
    failedMs = now();
    trouble.dial = error.message;
    log('not reached %s: %s', peer, trouble.dial);
    // Not waited for: a mailbox that says nothing must not keep us from dialling again.
    void deposit();
  };

  /** Whether dialling again would be too soon. A clock set back is no reason to wait for it to come round. */
  const restsFromDialling = (): boolean => {
    const sinceMs = failedMs === undefined ? Infinity : now() - failedMs;
    return sinceMs >= 0 && sinceMs < DIAL_REST_MS;
  };

  const hasWork = async (): Promise<boolean> => {
    if (fresh) return true;
    try {
      if ((await store.call('messages.pending', { peer })).length > 0) return true;
      return (await owed()).urgent;
    } catch (error) {
      complain('the outbox for %s could not be read: %e', peer, error);
      return true;
    }
  };

  const restBetween = async (ms: number): Promise<void> => {
    rest = new AbortController();
    await sleep(ms, { signal: AbortSignal.any([signal, rest.signal]) }).catch(() => undefined);
    rest = undefined;
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted && (await hasWork())) {
      fresh = false;
      returned = false;
      if (restsFromDialling()) void deposit();
      else {
        try {
          await attempt();
          continue;
        } catch (error) {
          if (signal.aborted) return;
          failed(error as Error);
        }
      }
      if (!fresh && !returned) await restBetween(backoffMs(Math.max(1, failures), random()));
    }
  };

  const self: PeerDelivery = {
    get live() {
      return live;
    },
    get idle() {
      return !running && live === undefined && depositing === undefined;
    },
    trouble,
    wake() {
      if (live !== undefined) {
        live.wake();
        // What breaks this breaks the stream's own reading of the store too, and that is reported there.
        payVerified(live).catch(() => undefined);
        return;
      }
      fresh = true;
      rest?.abort();
      if (overdue) void deposit();
      if (running || signal.aborted) return;
      running = true;
      run()
        .catch((error: unknown) => complain('delivery to %s stopped: %e', peer, error))
        .finally(() => {
          running = false;
          if (fresh && !signal.aborted) self.wake();
        });
    },
    present() {
      if (dialling) {
        seen = true;
        return;
      }
      // Who greets anew has lost its own stream, and over another network ours leads nowhere.
      if (live !== undefined) void live.verify();
      failures = 0;
      failedMs = undefined;
      returned = true;
      rest?.abort();
    },
  };
  return self;
}
