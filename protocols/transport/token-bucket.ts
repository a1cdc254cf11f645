export interface BucketLimits {
  /** Taken in one go after a pause. */
  burst: number;
  /** Refilled evenly. */
  perSecond: number;
}

export interface TokenBucket {
  /** How many of `count` may be taken now, and how long until the rest could be, up to a whole bucket. */
  take(count: number, nowMs: number): { granted: number; retryAfterMs: number };
}

/** So many at once, then so many a second. */
export function tokenBucket({ burst, perSecond }: BucketLimits): TokenBucket {
  let tokens = burst;
  let atMs: number | undefined;
  return {
    take(count, nowMs) {
      // A clock that was set back refills nothing.
      const elapsedMs = Math.max(0, nowMs - (atMs ?? nowMs));
      tokens = Math.min(burst, tokens + (elapsedMs * perSecond) / 1000);
      atMs = nowMs;
      const granted = Math.min(count, Math.floor(tokens));
      tokens -= granted;
      const missing = Math.min(count - granted, burst);
      return {
        granted,
        retryAfterMs: missing === 0 ? 0 : Math.ceil(((missing - tokens) * 1000) / perSecond),
      };
    },
  };
}
