import type { StoreClient } from '../protocols/group-commit/client.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { RendezvousRefusedError } from '../protocols/rendezvous/errors.ts';
import type { RendezvousDecisions } from '../protocols/rendezvous/handler.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { GroupOf } from './peer-groups.ts';
import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import { sharedRate } from './peer-rate.ts';
import type { RegistrationOperations } from './registration-table.ts';

/**
 * For what needs no fsync: reading, and a removal, which does no harm when a power cut takes it back. A registration has
 * to be on disk before its position is in anybody's cookie: given twice, the second one would be passed over.
 */
const NO_SYNC = { durability: 'process' } as const;

type RegistrationStore = Pick<StoreClient<RegistrationOperations>, 'call' | 'waiting'>;

export interface RendezvousInit {
  store: RegistrationStore;
  /** Calls that may wait for the store before requests are turned away. */
  maxStoreQueue: number;
  /** Registrations and discoveries from one peer. */
  requestsPerMinute: number;
  /** Both from all peers of one address. */
  requestsPerAddress: BucketLimits;
  /** New and renewed registrations of all peers of one address. */
  registrationsPerAddress: BucketLimits;
  /** Left out, only peers have limits, not addresses. */
  groupOf?: GroupOf;
  /** Discoveries that may be under way: each can hold a page in memory. */
  maxDiscoveries: number;
  /** Milliseconds since 1970, default the system's clock. */
  now?: () => number;
}

/** The rendezvous point's decisions, kept in the bootstrap node's store. */
export function rendezvousDecisions({
  store,
  maxStoreQueue,
  maxDiscoveries,
  requestsPerMinute,
  requestsPerAddress,
  registrationsPerAddress,
  groupOf = () => undefined,
  now = Date.now,
}: RendezvousInit): RendezvousDecisions {
  const rate = sharedRate(requestsPerMinute, requestsPerAddress, groupOf);
  const registrations = keyedRate(registrationsPerAddress);
  let discoveries = 0;

  const whenReady = async <T>(call: () => Promise<T>): Promise<T> => {
    if (store.waiting >= maxStoreQueue) {
      throw new RendezvousRefusedError('too many requests wait; try again in a few seconds', 'unavailable');
    }
    try {
      return await call();
    } catch (error) {
      if (error instanceof StoreError && (error.code === 'disk-full' || error.code === 'closed')) {
        throw new RendezvousRefusedError('nothing can be stored here now; try again later', 'unavailable', {
          cause: error,
        });
      }
      throw error;
    }
  };

  return {
    allows: (peerId) => rate.take(peerId.toString(), 1, now()).granted === 1,

    async register({ peerId, namespace, signedPeerRecord, ttlSeconds }) {
      const nowMs = now();
      const group = groupOf(peerId.toString());
      if (group !== undefined && registrations.take(group, 1, nowMs).granted === 0) {
        throw new RendezvousRefusedError(
          'too many registrations from this address; try again in some minutes',
          'unavailable',
        );
      }
      const { refused } = await whenReady(() =>
        store.call('registrations.add', {
          peerId: peerId.toString(),
          namespace,
          // A copy: the whole network chunk it is a view on would be copied to the worker.
          signedPeerRecord: Uint8Array.from(signedPeerRecord),
          expiresAtMs: nowMs + ttlSeconds * 1000,
          nowMs,
        }),
      );
      if (refused !== undefined) throw new RendezvousRefusedError(refused.reason, refused.refusal);
      return { ttlSeconds };
    },

    async unregister(peerId, namespace) {
      const key = { peerId: peerId.toString(), namespace };
      await whenReady(() => store.call('registrations.remove', key, NO_SYNC));
    },

    async discover({ namespace, limit, cookie }) {
      if (discoveries >= maxDiscoveries) {
        throw new RendezvousRefusedError(
          'too many discoveries are under way; try again in a few seconds',
          'unavailable',
        );
      }
      const nowMs = now();
      discoveries++;
      const query = { namespace, limit, cookie: cookie && Uint8Array.from(cookie), nowMs };
      const page = await whenReady(() => store.call('registrations.discover', query, NO_SYNC)).finally(
        () => discoveries--,
      );
      if (page.refused !== undefined)
        throw new RendezvousRefusedError(page.refused.reason, page.refused.refusal);
      return {
        registrations: page.registrations.map(({ namespace, signedPeerRecord, expiresAtMs }) => ({
          namespace,
          signedPeerRecord,
          ttlSeconds: Math.ceil((expiresAtMs - nowMs) / 1000),
        })),
        cookie: page.cookie,
      };
    },
  };
}
