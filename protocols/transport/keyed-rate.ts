import { tokenBucket } from './token-bucket.ts';
import type { BucketLimits, TokenBucket } from './token-bucket.ts';

/** Keys whose buckets are remembered. Beyond it the ones idle for longest start afresh, which costs a bucket at the most. */
const REMEMBERED_KEYS = 10_000;

export interface KeyedRate {
  /** How many of `count` requests may be made now in the name of a key, and when to come back for the rest. */
  take(key: string, count: number, nowMs: number): { granted: number; retryAfterMs: number };
  /** Takes `count` in the name of a key, or nothing; returns 0 when they are taken, else how long to wait. */
  takeAll(key: string, count: number, nowMs: number): number;
}

/** A token bucket for each key. */
export function keyedRate(limits: BucketLimits): KeyedRate {
  const buckets = new Map<string, TokenBucket>();

  const bucketOf = (key: string): TokenBucket => {
    const bucket = buckets.get(key) ?? tokenBucket(limits);
    // Set anew, so that the map is ordered by last use.
    buckets.delete(key);
    buckets.set(key, bucket);
    if (buckets.size > REMEMBERED_KEYS) buckets.delete(buckets.keys().next().value!);
    return bucket;
  };

  return {
    take: (key, count, nowMs) => bucketOf(key).take(count, nowMs),
    takeAll: (key, count, nowMs) => bucketOf(key).takeAll(count, nowMs),
  };
}
