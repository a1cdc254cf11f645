import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import type { KeyedRate } from '../protocols/transport/keyed-rate.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { GroupOf } from './peer-groups.ts';

/** Its keys are peer ids. */
export type PeerRate = Pick<KeyedRate, 'take'>;

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
