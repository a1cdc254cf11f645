import { setTimeout as delay } from 'node:timers/promises';
import type { PeerId } from '@libp2p/interface';
import type { StoreClient } from '../protocols/group-commit/client.ts';
import { isPeerIdBytes, peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { PREKEY_ID_BYTES, PrekeysRefused_Reason as Reason } from '../protocols/mailbox/prekey-frames.ts';
import type { HeldPrekey, PrekeyRefusal, Publication } from '../protocols/mailbox/prekey-frames.ts';
import type { PrekeyDecisions } from '../protocols/mailbox/prekeys-handler.ts';
import { byteRoom } from './byte-room.ts';
import { clockWatch } from './clock-watch.ts';
import type { GroupOf } from './peer-groups.ts';
import type { PrekeyLimits } from './prekey-limits.ts';
import { prekeyRates } from './prekey-rates.ts';
import type { TooOften } from './prekey-rates.ts';
import { PREKEY_ROW_BYTES } from './prekey-table.ts';
import type { PrekeyOperations } from './prekey-table.ts';

/** What a peer waits before it asks a mailbox whose disk failed again. */
const UNAVAILABLE_RETRY_MS = 10_000;

export interface PrekeysInit {
  store: Pick<StoreClient<PrekeyOperations>, 'call'>;
  limits: PrekeyLimits;
  /** Left out, only peers have limits, not addresses. */
  groupOf?: GroupOf;
  /** The clock, milliseconds since 1970. */
  nowMs: () => number;
  /** Told when the store fails; the peers are told `unavailable`. */
  onStoreError: (error: Error) => void;
}

/** Requests about prekeys since the start, by what became of them. */
export type PrekeyCounts = Record<
  | 'published'
  | 'taken'
  | 'last_resort'
  | 'counted'
  | 'none'
  | 'rate_limited'
  | 'malformed'
  | 'expired'
  | 'full'
  | 'unavailable',
  number
>;

export interface Prekeys {
  decisions: PrekeyDecisions;
  counts(): PrekeyCounts;
  /** Begins to sweep what is expired. */
  start(): void;
  stop(): Promise<void>;
}

/** What a refusal is called among the counts. */
const REFUSED_AS: Record<number, keyof PrekeyCounts> = {
  [Reason.NONE]: 'none',
  [Reason.RATE_LIMITED]: 'rate_limited',
  [Reason.MALFORMED]: 'malformed',
  [Reason.EXPIRED]: 'expired',
  [Reason.FULL]: 'full',
  [Reason.UNAVAILABLE]: 'unavailable',
};

/**
 * The decisions of a mailbox about prekeys: who may leave how many, and who gets which.
 *
 * A taker that asks for the prekeys of one recipient too often is given the last-resort one: a stranger must not empty a
 * stock, and a sender must not be kept from writing. Who asks too often altogether is refused, since answers cost the node.
 *
 * @example
 * ```ts
 * const keys = prekeys({ store, limits: prekeyLimits(config), nowMs: Date.now, onStoreError })
 * await libp2p.handle(MAILBOX_PROTOCOL, mailboxHandler(mail, { signal, prekeys: keys.decisions }), MAILBOX_STREAMS)
 * keys.start()
 * ```
 */
export function prekeys({
  store,
  limits,
  groupOf = () => undefined,
  nowMs,
  onStoreError,
}: PrekeysInit): Prekeys {
  const rates = prekeyRates(limits, groupOf);
  const underCommit = byteRoom(limits.underCommit);
  const counts: PrekeyCounts = {
    published: 0,
    taken: 0,
    last_resort: 0,
    counted: 0,
    none: 0,
    rate_limited: 0,
    malformed: 0,
    expired: 0,
    full: 0,
    unavailable: 0,
  };
  let stopping = new AbortController();
  let sweeping: Promise<void> | undefined;

  const refuse = (reason: Reason, detail: string, retryAfterMs = 0): PrekeyRefusal => {
    counts[REFUSED_AS[reason]!]++;
    return { type: 'prekeys-refused', reason, retryAfterMs, detail };
  };

  /** Tells a failure of the store, and what the peer is told of it. */
  const unavailable = (error: unknown): PrekeyRefusal => {
    onStoreError(error as Error);
    return refuse(Reason.UNAVAILABLE, 'the mailbox can not use its disk at the moment', UNAVAILABLE_RETRY_MS);
  };

  const wait = (tooOften: TooOften | undefined): PrekeyRefusal | undefined =>
    tooOften && refuse(Reason.RATE_LIMITED, tooOften.detail, tooOften.retryAfterMs);

  const malformed = ({ id, prekey }: HeldPrekey): string | undefined => {
    if (id.byteLength !== PREKEY_ID_BYTES) return `id: not ${PREKEY_ID_BYTES} bytes`;
    if (prekey.byteLength === 0) return 'prekey: empty';
    if (prekey.byteLength <= limits.prekeyBytes) return undefined;
    return `prekey: ${prekey.byteLength} bytes are over the limit of ${limits.prekeyBytes}`;
  };

  /** The reason not to pass a publication on to the store. */
  const refusal = ({ oneTime, lastResort }: Publication, now: number): PrekeyRefusal | undefined => {
    if (oneTime.length > limits.oneTime) {
      return refuse(Reason.MALFORMED, `one_time: ${oneTime.length} prekeys, ${limits.oneTime} at the most`);
    }
    const all = lastResort === undefined ? oneTime : [...oneTime, lastResort];
    for (const prekey of all) {
      const detail = malformed(prekey);
      if (detail !== undefined) return refuse(Reason.MALFORMED, detail);
      if (prekey.expiresMs <= now) {
        return refuse(Reason.EXPIRED, `expires_ms: ${prekey.expiresMs} is past, it is ${now} here`);
      }
    }
    if (new Set(all.map(({ id }) => keyOf(id))).size < all.length) {
      return refuse(Reason.MALFORMED, 'id: two prekeys have the same');
    }
    return undefined;
  };

  const publish = async (owner: PeerId, publication: Publication, now: number) => {
    const peer = owner.toString();
    const refused =
      wait(rates.request(peer, now)) ?? refusal(publication, now) ?? wait(rates.publication(peer, now));
    if (refused !== undefined) return refused;
    // Copies: a view would take the whole network chunk along to the worker.
    const copy = ({ id, expiresMs, prekey }: HeldPrekey): HeldPrekey => ({
      id: new Uint8Array(id),
      expiresMs: Math.min(expiresMs, now + limits.keptMs),
      prekey: new Uint8Array(prekey),
    });
    const { oneTime, lastResort, replace } = publication;
    // While too much is under commit, waiting pauses the stream that brings more.
    const giveBack = await underCommit.take(groupOf(peer) ?? peer, sizeOf(publication));
    try {
      const { outcome, left } = await store.call('prekeys.publish', {
        owner: new Uint8Array(peerIdToBytes(owner)),
        oneTime: oneTime.map(copy),
        lastResort: lastResort === undefined ? undefined : copy(lastResort),
        replace,
        nowMs: now,
      });
      switch (outcome) {
        case 'published':
          counts.published++;
          return { type: 'prekeys-published', left } as const;
        case 'full':
          return refuse(
            Reason.FULL,
            `one_time: ${left} prekeys are held, with these there would be more than ${limits.oneTime}`,
          );
        case 'store-full':
          return refuse(Reason.FULL, 'this node holds as many prekeys as it may, for all owners together');
      }
    } catch (error) {
      return unavailable(error);
    } finally {
      giveBack();
    }
  };

  const take = async (taker: PeerId, recipient: Uint8Array, now: number) => {
    const peer = taker.toString();
    const refused = wait(rates.request(peer, now) ?? rates.take(peer, now));
    if (refused !== undefined) return refused;
    if (!isPeerIdBytes(recipient)) return refuse(Reason.MALFORMED, 'recipient: not a peer id');
    const enough = rates.oneTime(peer, keyOf(recipient), now);
    try {
      const { taken, withheld } = await store.call('prekeys.take', {
        owner: new Uint8Array(recipient),
        oneTime: enough === undefined,
        nowMs: now,
      });
      if (taken === undefined) {
        return (
          (withheld ? wait(enough) : undefined) ??
          refuse(Reason.NONE, 'recipient: no prekey of it is held here')
        );
      }
      counts[taken.lastResort ? 'last_resort' : 'taken']++;
      return { type: 'prekey-taken', ...taken } as const;
    } catch (error) {
      return unavailable(error);
    }
  };

  const count = async (owner: PeerId, now: number) => {
    const refused = wait(rates.request(owner.toString(), now));
    if (refused !== undefined) return refused;
    try {
      const stock = await store.call(
        'prekeys.count',
        { owner: new Uint8Array(peerIdToBytes(owner)), nowMs: now },
        { durability: 'process' },
      );
      counts.counted++;
      return { type: 'prekeys-counted', ...stock } as const;
    } catch (error) {
      return unavailable(error);
    }
  };

  /** Nothing is deleted by a clock that was just set, or that a machine woke up with. */
  const sweep = async (signal: AbortSignal): Promise<void> => {
    const clock = clockWatch(nowMs);
    for (;;) {
      try {
        await delay(limits.sweepEveryMs, undefined, { signal, ref: false });
        let more = !clock.wasSet();
        while (more) {
          signal.throwIfAborted();
          ({ more } = await store.call('prekeys.expire', { nowMs: nowMs() }));
          more &&= !clock.wasSet();
        }
      } catch (error) {
        if (signal.aborted) return;
        onStoreError(error as Error);
      }
    }
  };

  return {
    decisions: {
      publish: (owner, publication) => publish(owner, publication, nowMs()),
      take: (taker, recipient) => take(taker, recipient, nowMs()),
      count: (owner) => count(owner, nowMs()),
    },

    counts: () => ({ ...counts }),

    start() {
      stopping = new AbortController();
      sweeping = sweep(stopping.signal);
    },

    async stop() {
      stopping.abort();
      await sweeping;
    },
  };
}

function sizeOf({ oneTime, lastResort }: Publication): number {
  const all = lastResort === undefined ? oneTime : [...oneTime, lastResort];
  return all.reduce((sum, { prekey }) => sum + PREKEY_ROW_BYTES + prekey.byteLength, 0);
}

/** Bytes as a key of a map. */
function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
