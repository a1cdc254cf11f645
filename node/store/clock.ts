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

/** The reading for something that happens here, now: after everything seen so far. */
export function tick(last: ClockReading, nowMs: number): ClockReading {
  return nowMs > last.ms ? { ms: nowMs, count: 0 } : { ms: last.ms, count: last.count + 1 };
}

/** A remote reading as it is ordered by here: no further ahead of our wall clock than `MAX_AHEAD_MS`. */
export function clamp(remote: ClockReading, nowMs: number): ClockReading {
  return remote.ms > nowMs + MAX_AHEAD_MS ? { ms: nowMs + MAX_AHEAD_MS, count: 0 } : remote;
}

/** The later of two readings. */
export function later(a: ClockReading, b: ClockReading): ClockReading {
  return a.ms > b.ms || (a.ms === b.ms && a.count >= b.count) ? a : b;
}
