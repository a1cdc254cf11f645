import type { Stream } from '@libp2p/interface';
import type { KadDHTComponents } from '@libp2p/kad-dht';
import { addressGroup } from '../transport/address-group.ts';
import { tokenBucket } from '../transport/token-bucket.ts';
import type { BucketLimits, TokenBucket } from '../transport/token-bucket.ts';

type Registrar = KadDHTComponents['registrar'];

/**
 * Requests of one address answered at once, and a second. A lookup asks each server two or three times; a request takes a
 * third of a millisecond.
 */
export const REQUESTS_PER_ADDRESS: BucketLimits = { burst: 400, perSecond: 100 };

/** Requests begun in one turn of the event loop: a millisecond's worth, for which the others wait. */
const PER_TURN = 4;

/** Addresses whose requests are counted; beyond it the one idle for longest starts afresh. */
const REMEMBERED_ADDRESSES = 10_000;

export interface PaceInit {
  limits?: BucketLimits;
  perTurn?: number;
  nowMs?: () => number;
}

/**
 * A registrar whose handlers answer a few requests a turn of the event loop, over all streams, and so many a second of an
 * address. kad-dht by itself answers all that it has of a stream, a thousand at a time, before anybody else gets a word in.
 * Nobody is refused: it takes longer. It waits for `drain` when a stream has no room, so that is what it is told.
 */
export function pacedRegistrar(
  registrar: Registrar,
  { limits = REQUESTS_PER_ADDRESS, perTurn = PER_TURN, nowMs = () => performance.now() }: PaceInit = {},
): Registrar {
  const buckets = new Map<string, TokenBucket>();
  const waiting: (() => void)[] = [];
  let turning = false;

  const bucketOf = (group: string): TokenBucket => {
    const bucket = buckets.get(group) ?? tokenBucket(limits);
    buckets.delete(group);
    buckets.set(group, bucket);
    if (buckets.size > REMEMBERED_ADDRESSES) buckets.delete(buckets.keys().next().value!);
    return bucket;
  };

  const turn = (): void => {
    for (const go of waiting.splice(0, perTurn)) go();
    turning = waiting.length > 0;
    if (turning) setImmediate(turn);
  };

  const queue = (go: () => void): void => {
    waiting.push(go);
    if (!turning) setImmediate(turn);
    turning = true;
  };

  const pace = (stream: Stream, group: string): void => {
    const send = stream.send.bind(stream);
    const bucket = bucketOf(group);
    stream.send = (data) => {
      if (!send(data)) return false;
      const drained = (): void => void stream.dispatchEvent(new Event('drain'));
      const { granted, retryAfterMs } = bucket.take(1, nowMs());
      if (granted === 1) queue(drained);
      else setTimeout(drained, retryAfterMs).unref();
      return false;
    };
  };

  const handle: Registrar['handle'] = async (protocol, handler, options) =>
    registrar.handle(
      protocol,
      (stream, connection) => {
        pace(stream, addressGroup(connection.remoteAddr));
        return handler(stream, connection);
      },
      options,
    );
  return new Proxy(registrar, {
    get(target, property) {
      if (property === 'handle') return handle;
      const value: unknown = Reflect.get(target, property);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
