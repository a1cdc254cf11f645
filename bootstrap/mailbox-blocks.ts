import type { StoreClient } from '../protocols/group-commit/client.ts';
import { DepositorsRefused_Reason as Reason } from '../protocols/mailbox/depositors-frames.ts';
import type { DepositorsChange, DepositorsRefusal } from '../protocols/mailbox/depositors-frames.ts';
import type { DepositorsDecisions } from '../protocols/mailbox/depositors-handler.ts';
import { isPeerIdBytes, peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import type { KeyedRate } from '../protocols/transport/keyed-rate.ts';
import type { MailboxBlockLimits } from './mailbox-block-limits.ts';
import type { MailboxOperations } from './mailbox-table.ts';
import type { GroupOf } from './peer-groups.ts';

/** What an owner waits before it asks a mailbox whose disk failed again. */
const UNAVAILABLE_RETRY_MS = 10_000;

const TOO_OFTEN = 'too many requests about depositors, of this owner or from one address';

export interface BlocksInit {
  store: Pick<StoreClient<MailboxOperations>, 'call'>;
  limits: MailboxBlockLimits;
  /** Left out, only peers have limits, not addresses. */
  groupOf?: GroupOf;
  /** The clock, milliseconds since 1970. */
  nowMs: () => number;
  /** Told when the store fails; the peers are told `unavailable`. */
  onStoreError: (error: Error) => void;
}

/** Requests about depositors since the start, by what became of them. */
export type BlockCounts = Record<'set' | 'rate_limited' | 'malformed' | 'full' | 'unavailable', number>;

export interface Blocks {
  decisions: DepositorsDecisions;
  counts(): BlockCounts;
}

/** What a refusal is called among the counts. */
const REFUSED_AS: Record<number, keyof BlockCounts> = {
  [Reason.RATE_LIMITED]: 'rate_limited',
  [Reason.MALFORMED]: 'malformed',
  [Reason.FULL]: 'full',
  [Reason.UNAVAILABLE]: 'unavailable',
};

/**
 * The decisions of a mailbox about whom its owners refuse: how many, and how often they may say so.
 *
 * @example
 * ```ts
 * const blocks = mailboxBlockDecisions({ store, limits: mailboxBlockLimits(config), nowMs: Date.now, onStoreError })
 * mailboxHandler(mail, { signal, depositors: blocks.decisions })
 * ```
 */
export function mailboxBlockDecisions({
  store,
  limits,
  groupOf = () => undefined,
  nowMs,
  onStoreError,
}: BlocksInit): Blocks {
  const requests = keyedRate(limits.requests);
  const requestsOfGroup = keyedRate(limits.requestsPerAddress);
  const namedOfGroup = keyedRate(limits.namedPerAddress);
  const counts: BlockCounts = { set: 0, rate_limited: 0, malformed: 0, full: 0, unavailable: 0 };

  const refuse = (reason: Reason, detail: string, retryAfterMs = 0): DepositorsRefusal => {
    counts[REFUSED_AS[reason]!]++;
    return { type: 'depositors-refused', reason, retryAfterMs, detail };
  };

  const take = (rate: KeyedRate, key: string, count: number, now: number): DepositorsRefusal | undefined => {
    const retryAfterMs = rate.takeAll(key, count, now);
    return retryAfterMs === 0 ? undefined : refuse(Reason.RATE_LIMITED, TOO_OFTEN, retryAfterMs);
  };

  const malformed = ({ block, unblock }: DepositorsChange): DepositorsRefusal | undefined => {
    const seen = new Set<string>();
    for (const [field, peers] of Object.entries({ block, unblock })) {
      if (peers.length > limits.perOwner) {
        return refuse(Reason.MALFORMED, `${field}: ${peers.length} peers, ${limits.perOwner} at the most`);
      }
      for (const peerId of peers) {
        if (!isPeerIdBytes(peerId)) return refuse(Reason.MALFORMED, `${field}: not a peer id`);
        const key = Buffer.from(peerId.buffer, peerId.byteOffset, peerId.byteLength).toString('latin1');
        if (seen.has(key)) return refuse(Reason.MALFORMED, `${field}: a peer is named twice`);
        seen.add(key);
      }
    }
    return undefined;
  };

  /** The reason not to pass a request on to the store. */
  const refusal = (peer: string, change: DepositorsChange, now: number): DepositorsRefusal | undefined => {
    const group = groupOf(peer);
    const named = change.block.length + change.unblock.length;
    return (
      take(requests, peer, 1, now) ??
      malformed(change) ??
      (group === undefined
        ? undefined
        : (take(requestsOfGroup, group, 1, now) ?? take(namedOfGroup, group, named, now)))
    );
  };

  return {
    decisions: {
      async set(owner, change) {
        const now = nowMs();
        const refused = refusal(owner.toString(), change, now);
        if (refused !== undefined) return refused;
        const { block, unblock, atMs } = change;
        // Copies: a view would take the whole network chunk along to the worker.
        const copy = (peerId: Uint8Array): Uint8Array => new Uint8Array(peerId);
        try {
          const { outcome, blocked } = await store.call('mailbox.block', {
            owner: new Uint8Array(peerIdToBytes(owner)),
            block: block.map(copy),
            unblock: unblock.map(copy),
            atMs,
            nowMs: now,
          });
          switch (outcome) {
            case 'set':
              counts.set++;
              return { type: 'depositors-set', blocked };
            case 'full':
              return refuse(
                Reason.FULL,
                `block: ${blocked} are blocked, with these there would be more than ${limits.perOwner}`,
              );
            case 'store-full':
              return refuse(Reason.FULL, 'this node blocks as many as it may, for all owners together');
          }
        } catch (error) {
          onStoreError(error as Error);
          return refuse(
            Reason.UNAVAILABLE,
            'the mailbox can not use its disk at the moment',
            UNAVAILABLE_RETRY_MS,
          );
        }
      },
    },

    counts: () => ({ ...counts }),
  };
}
