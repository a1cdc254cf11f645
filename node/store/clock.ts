/** A reading of a hybrid logical clock (Kulkarni et al., 2014): wall-clock milliseconds and a counter within them. */
export interface ClockReading {
  ms: number;
  count: number;
}

/**
 * How far ahead of our wall clock another's reading may pull ours. More is taken for a clock set wrong: the message is
 * shown as of now plus this.
 */
export const MAX_AHEAD_MS = 60_000;

/** A reading's count is a uint32 on the wire; beyond it the milliseconds go on. */
const COUNTS_PER_MS = 2 ** 32;

/** The reading `by` counts later, or earlier when it is negative; a millisecond at the most. */
export function shift({ ms, count }: ClockReading, by: number): ClockReading {
  const shifted = count + Math.max(-COUNTS_PER_MS, Math.min(COUNTS_PER_MS, by));
  if (shifted < 0) return { ms: ms - 1, count: shifted + COUNTS_PER_MS };
  return shifted < COUNTS_PER_MS ? { ms, count: shifted } : { ms: ms + 1, count: shifted - COUNTS_PER_MS };
}

/** The reading for something that happens here, now: after everything seen so far. */
export function tick(last: ClockReading, nowMs: number): ClockReading {
  return nowMs > last.ms ? { ms: nowMs, count: 0 } : shift(last, 1);
}

/** A remote reading as it is ordered by here: no further ahead of our wall clock than `MAX_AHEAD_MS`. */
export function clamp(remote: ClockReading, nowMs: number): ClockReading {
  return remote.ms > nowMs + MAX_AHEAD_MS ? { ms: nowMs + MAX_AHEAD_MS, count: 0 } : remote;
}

/** The later of two readings. */
export function later(a: ClockReading, b: ClockReading): ClockReading {
  return a.ms > b.ms || (a.ms === b.ms && a.count >= b.count) ? a : b;
}

/** The earlier of two readings. */
export function earlier(a: ClockReading, b: ClockReading): ClockReading {
  return later(a, b) === a ? b : a;
}
