export interface BackoffLimits {
  firstMs: number;
  longestMs: number;
}

/** Between attempts to reach somebody: 2 s, doubling to 2 min. */
export const REACH_BACKOFF: BackoffLimits = { firstMs: 2_000, longestMs: 120_000 };

/**
 * How long to wait before the next attempt: doubled each time, then "full jitter" on its upper half, so that peers who
 * lost the same node don't come back in step.
 *
 * @param failures attempts that have failed in a row, from 1
 * @param random a number in [0, 1)
 */
export function backoffMs(
  failures: number,
  random: number,
  { firstMs, longestMs }: BackoffLimits = REACH_BACKOFF,
): number {
  const ceiling = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return ceiling / 2 + (ceiling / 2) * random;
}
