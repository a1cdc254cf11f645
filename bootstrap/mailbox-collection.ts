import { InvalidMessageError } from '@libp2p/interface';
import type { StoreClient } from '../protocols/group-commit/client.ts';
import type { Collection } from '../protocols/mailbox/handler.ts';
import { End_Reason } from '../protocols/mailbox/protocol.ts';
import type { HeldBlob } from '../protocols/mailbox/protocol.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import type { MailboxOperations, NextBlobs } from './mailbox-table.ts';

/**
 * Parts of the window that are read from the store at a time: while the recipient commits one part, the next are on
 * their way to it.
 */
const PARTS_OF_WINDOW = 4;

export interface CollectionInit {
  store: Pick<StoreClient<MailboxOperations>, 'call'>;
  /** Peer id bytes. */
  recipient: Uint8Array;
  limits: Pick<MailboxLimits, 'blobBytes' | 'windowBlobs' | 'windowBytes'>;
  /** Resolves when so many bytes may be read for it, with what gives the room back. */
  roomFor: (bytes: number, options: { signal: AbortSignal }) => Promise<() => void>;
  nowMs: () => number;
  onSent: (count: number) => void;
  onAcknowledged: (count: number) => void;
  onStoreError: (error: Error) => void;
  onEnd: () => void;
}

/** A collection as its mailbox sees it. */
export interface OpenCollection extends Collection {
  /** Something was deposited for the recipient. */
  deposited(): void;
  /** Ends it in favour of a newer one. */
  replace(): void;
}

/** Hands one recipient what is held for it, in the order of deposit, within a window of unacknowledged blobs. */
export function openCollection({
  store,
  recipient,
  limits,
  roomFor,
  nowMs,
  onSent,
  onAcknowledged,
  onStoreError,
  onEnd,
}: CollectionInit): OpenCollection {
  const partBlobs = Math.max(1, Math.floor(limits.windowBlobs / PARTS_OF_WINDOW));
  const partBytes = Math.max(limits.blobBytes, Math.floor(limits.windowBytes / PARTS_OF_WINDOW));
  const ending = new AbortController();
  /** Sent and not acknowledged, oldest first. */
  let sent: Array<{ number: number; bytes: number }> = [];
  let sentBytes = 0;
  let lastNumber = 0;
  /** Whether the store may hold more than was read from it. */
  let more = true;
  /** Whether the next blob waits for room in bytes. */
  let tooBig = false;
  let ended = false;
  let endReason: End_Reason | undefined;
  let wake: (() => void) | undefined;

  const end = (reason?: End_Reason): void => {
    if (ended) return;
    ended = true;
    endReason = reason;
    ending.abort(new Error('the collection has ended'));
    wake?.();
    onEnd();
  };

  const fail = (error: Error): void => {
    onStoreError(error);
    end(End_Reason.UNAVAILABLE);
  };

  const nextPart = async (): Promise<HeldBlob[]> => {
    // Before the call, so that a deposit during it is not overlooked.
    more = false;
    const next = await store.call('mailbox.next', {
      recipient,
      after: lastNumber,
      maxBlobs: Math.min(partBlobs, limits.windowBlobs - sent.length),
      maxBytes: Math.min(partBytes, limits.windowBytes - sentBytes),
      nowMs: nowMs(),
    });
    if (next.more) more = true;
    tooBig = next.more && next.numbers.length === 0;
    return unpack(next);
  };

  const unpack = (next: NextBlobs): HeldBlob[] => {
    let start = 0;
    return next.numbers.map((number, i) => {
      const bytes = next.lengths[i]!;
      const blob = next.bytes.subarray(start, start + bytes);
      start += bytes;
      sent.push({ number, bytes });
      sentBytes += bytes;
      lastNumber = number;
      return { depositor: next.peers[next.depositors[i]!]!, depositedAtMs: next.depositedAtMs[i]!, blob };
    });
  };

  return {
    async *batches() {
      for (;;) {
        if (ended) return;
        if (more && !tooBig && sent.length < limits.windowBlobs) {
          let giveBack: (() => void) | undefined;
          try {
            giveBack = await roomFor(partBytes, ending);
            const blobs = await nextPart();
            if (blobs.length === 0) continue;
            onSent(blobs.length);
            // Comes back here when they have been sent.
            yield blobs;
          } catch (error) {
            if (!ended) fail(error as Error);
          } finally {
            giveBack?.();
          }
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          wake = undefined;
        }
      }
    },

    acknowledge(count) {
      if (count === 0 || count > sent.length) {
        throw new InvalidMessageError(`count: ${count} acknowledged, ${sent.length} sent`);
      }
      const upTo = sent[count - 1]!.number;
      for (let i = 0; i < count; i++) sentBytes -= sent[i]!.bytes;
      sent = sent.slice(count);
      tooBig = false;
      store.call('mailbox.acknowledge', { recipient, upTo }).then(() => onAcknowledged(count), fail);
      wake?.();
    },

    end: () => end(),
    replace: () => end(End_Reason.REPLACED),

    deposited() {
      more = true;
      wake?.();
    },

    get endReason() {
      return endReason;
    },
  };
}
