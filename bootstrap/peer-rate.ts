/**
 * Peers whose buckets are remembered. Beyond it the ones idle for longest start afresh, which costs a bucket
 * at the most.
 */
const REMEMBERED_PEERS = 10_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

export interface PeerRate {
  /** How many of `count` requests a peer may make now, and when to come back for the rest. */
  take(peer: string, count: number, nowMs: number): { granted: number; retryAfterMs: number };
}

/** A token bucket per peer: `perMinute` requests in one go, refilled evenly over a minute. */
export function peerRate(perMinute: number): PeerRate {
  const buckets = new Map<string, Bucket>();
  return {
    take(peer, count, nowMs) {
      const bucket = buckets.get(peer) ?? { tokens: perMinute, atMs: nowMs };
      // A clock that was set back refills nothing.
      const elapsedMs = Math.max(0, nowMs - bucket.atMs);
      const tokens = Math.min(perMinute, bucket.tokens + (elapsedMs * perMinute) / 60_000);
      const granted = Math.min(count, Math.floor(tokens));
      bucket.tokens = tokens - granted;
      bucket.atMs = nowMs;
      // Set anew, so that the map is ordered by last use.
      buckets.delete(peer);
      buckets.set(peer, bucket);
      if (buckets.size > REMEMBERED_PEERS) buckets.delete(buckets.keys().next().value!);
      const missing = Math.min(count - granted, perMinute);
      const retryAfterMs = missing === 0 ? 0 : Math.ceil(((missing - bucket.tokens) * 60_000) / perMinute);
      return { granted, retryAfterMs };
    },
  };
}
