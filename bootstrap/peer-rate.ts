import { tokenBucket } from '../protocols/transport/token-bucket.ts';
import type { BucketLimits, TokenBucket } from '../protocols/transport/token-bucket.ts';
import type { GroupOf } from './peer-groups.ts';

/**
 * Peers whose buckets are remembered. Beyond it the ones idle for longest start afresh, which costs a bucket
 * at the most.
 */
const REMEMBERED_PEERS = 10_000;

export interface PeerRate {
  /** How many of `count` requests a peer may make now, and when to come back for the rest. */
  take(peer: string, count: number, nowMs: number): { granted: number; retryAfterMs: number };
}

/** A token bucket for each key. */
export function keyedRate(limits: BucketLimits): PeerRate {
  const buckets = new Map<string, TokenBucket>();
  return {
    take(key, count, nowMs) {
      const bucket = buckets.get(key) ?? tokenBucket(limits);
      // Set anew, so that the map is ordered by last use.
      buckets.delete(key);
      buckets.set(key, bucket);
      if (buckets.size > REMEMBERED_PEERS) buckets.delete(buckets.keys().next().value!);
      return bucket.take(count, nowMs);
    },
  };
}

/** A token bucket per peer: `perMinute` requests in one go, refilled evenly over a minute. */
export function peerRate(perMinute: number): PeerRate {
  return keyedRate({ burst: perMinute, perSecond: perMinute / 60 });
}

/**
 * A rate for each peer, and one for all peers of an address together, since peer ids cost nothing. A peer that is not
 * connected has only its own.
 */
export function sharedRate(perMinute: number, perAddress: BucketLimits, groupOf: GroupOf): PeerRate {
  const ofPeer = peerRate(perMinute);
  const ofGroup = keyedRate(perAddress);
  return {
    take(peer, count, nowMs) {
      const own = ofPeer.take(peer, count, nowMs);
      const group = groupOf(peer);
      if (group === undefined || own.granted === 0) return own;
      const shared = ofGroup.take(group, own.granted, nowMs);
      return { granted: shared.granted, retryAfterMs: Math.max(own.retryAfterMs, shared.retryAfterMs) };
    },
  };
}
