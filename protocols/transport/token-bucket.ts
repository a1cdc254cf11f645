export interface BucketLimits {
  /** Taken in one go after a pause. */
  burst: number;
  /** Refilled evenly. */
  perSecond: number;
}

export interface TokenBucket {
  /** How many of `count` may be taken now, and how long until the rest could be, up to a whole bucket. */
  take(count: number, nowMs: number): { granted: number; retryAfterMs: number };
  /**
   * Takes `count`, or nothing: for what can't be done in part. More than a whole bucket is never taken.
   *
   * @returns 0 when they are taken, else how long until as many could be
   */
  takeAll(count: number, nowMs: number): number;
}

/** So many at once, then so many a second. */
export function tokenBucket({ burst, perSecond }: BucketLimits): TokenBucket {
  let tokens = burst;
  let atMs: number | undefined;

  const refill = (nowMs: number): void => {
    // A clock that was set back refills nothing.
    const elapsedMs = Math.max(0, nowMs - (atMs ?? nowMs));
    tokens = Math.min(burst, tokens + (elapsedMs * perSecond) / 1000);
    atMs = nowMs;
  };

  return {
    take(count, nowMs) {
      refill(nowMs);
      const granted = Math.min(count, Math.floor(tokens));
      tokens -= granted;
      const missing = Math.min(count - granted, burst);
      return {
        granted,
        retryAfterMs: missing === 0 ? 0 : Math.ceil(((missing - tokens) * 1000) / perSecond),
      };
    },

    takeAll(count, nowMs) {
      refill(nowMs);
      if (count > tokens) return Math.ceil(((Math.min(count, burst) - tokens) * 1000) / perSecond) || 1;
      tokens -= count;
      return 0;
    },
  };
}
