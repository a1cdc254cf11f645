import type { Logger } from '@libp2p/interface';
import { CHAT_LIMITS } from '../../protocols/chat/protocol.ts';
import { FrameDecoder } from '../../protocols/framing/frames.ts';
import { MailboxError } from '../../protocols/mailbox/errors.ts';
import type { NodeStore } from '../store/operations.ts';
import type { PendingChain } from '../store/outgoing.ts';
import type { ChangedBatch } from '../store/states.ts';
import { backoffMs } from './backoff.ts';
import type { Sleep, Ways } from './ways.ts';

/** What waits in a mailbox undelivered is left there again after this long: the mailbox may have lost its disk. */
const REDEPOSIT_AFTER_MS = 6 * 3600_000;

/**
 * Messages in one blob: with what a bundle adds to each of the shortest ones, and the opening of a session, it stays under 64
 * KiB.
 */
const BUNDLE_BYTES = 60 * 1024;

/** A mailbox that asks to be left alone for longer is tried all the same: the others of the peer could take it by then. */
const LONGEST_REST_MS = 600_000;

/** What a peer is owed besides messages. */
export interface Owed {
  frames: Uint8Array[];
  /** They tell it of sessions that are lost here. */
  hasLost: boolean;
  /** They are worth a blob of their own. */
  urgent: boolean;
  /** They are on their way. */
  paid(): Promise<void>;
}

export interface MailSenderInit {
  peer: string;
  store: NodeStore;
  ways: Pick<Ways, 'deposit'>;
  owed: () => Promise<Owed>;
  log: Logger;
  now: () => number;
  random: () => number;
  sleep: Sleep;
  signal: AbortSignal;
  /** There is a stream to the peer: nothing more is left in its mailbox. */
  isLive: () => boolean;
  /** It is being dialled, and may still answer in time. Whoever dials asks for a deposit if it does not. */
  mayAnswer: () => boolean;
  onStored(batch: ChangedBatch): void;
}

/** Leaves what is in the outbox for one peer in its mailbox. */
export interface MailSender {
  /**
   * Leaves there all that is not there yet, also what comes while it does. Never twice at a time. After a refusal it rests
   * for seconds, then minutes, or as long as the mailbox asks, whatever comes meanwhile.
   */
  deposit(): Promise<void>;
  /** The mailbox may take now what it refused: the next deposit need not wait. */
  forgetRefusals(): void;
  readonly busy: boolean;
  /** Why the mailbox refused last. */
  readonly trouble: string | undefined;
}

/** How long the mailbox, or the first of several, asks to be left alone. */
function askedRestMs(error: unknown): number {
  const { cause } = error as Error;
  const refusal = error instanceof MailboxError ? error : cause instanceof MailboxError ? cause : undefined;
  return Math.min(refusal?.retryAfterMs ?? 0, LONGEST_REST_MS);
}

export function mailSender(init: MailSenderInit): MailSender {
  const { peer, store, ways, owed, log, now, random, sleep, signal, isLive, mayAnswer } = init;
  let trouble: string | undefined;
  let depositing: Promise<void> | undefined;
  let again = false;
  /** Refusals in a row. */
  let refusals = 0;
  let rest: AbortController | undefined;
  /** How far a chain has been left in the mailbox a second time. */
  const refreshedTo = new Map<number, number>();

  const leave = async (frames: Uint8Array[], options: { anew?: boolean } = {}): Promise<void> => {
    await ways.deposit(peer, frames, { signal, ...options });
    refusals = 0;
  };

  const payStored = async (): Promise<void> => {
    const { frames, hasLost, urgent, paid } = await owed();
    if (!urgent) return;
    // A peer that has lost its session may have lost ours, too.
    await leave(frames, { anew: hasLost });
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
    while (!isLive()) {
      const batch = await store.call('messages.frames', {
        chain,
        after,
        maxBytes: BUNDLE_BYTES,
        maxCount: CHAT_LIMITS.maxUnacknowledged,
        skipStored: !refresh,
      });
      if (batch.count > 0) {
        await leave(new FrameDecoder(CHAT_LIMITS.maxFrameBytes).push(batch.frames));
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

  /** Resolves to how long to rest after a refusal, in milliseconds; undefined when there was none. */
  const depositAll = async (): Promise<number | undefined> => {
    try {
      for (const pending of await store.call('messages.pending', { peer })) await depositChain(pending);
      if (!isLive()) await payStored();
      trouble = undefined;
      return undefined;
    } catch (error) {
      if (signal.aborted) return undefined;
      refusals++;
      trouble = (error as Error).message;
      const restMs = Math.max(askedRestMs(error), backoffMs(refusals, random()));
      log('not left in the mailbox of %s, which rests for %d ms: %s', peer, restMs, trouble);
      return restMs;
    }
  };

  /** Whether it came to its end, and was not cut short. */
  const restFor = async (ms: number): Promise<boolean> => {
    const own = new AbortController();
    rest = own;
    try {
      await sleep(ms, { signal: AbortSignal.any([signal, own.signal]) });
      return true;
    } catch {
      return false;
    } finally {
      if (rest === own) rest = undefined;
    }
  };

  return {
    get busy() {
      return depositing !== undefined;
    },
    get trouble() {
      return trouble;
    },
    deposit() {
      // What comes during a rest goes at its end.
      again ||= rest === undefined;
      depositing ??= (async () => {
        while (again && !isLive() && !signal.aborted) {
          again = false;
          const restMs = await depositAll();
          if (restMs === undefined) continue;
          again = false;
          if (await restFor(restMs)) again ||= !mayAnswer();
        }
        again = false;
        depositing = undefined;
      })();
      return depositing;
    },
    forgetRefusals() {
      refusals = 0;
      rest?.abort();
      rest = undefined;
    },
  };
}
