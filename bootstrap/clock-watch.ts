/** More than clocks are corrected by while a program runs, and less than anything here is kept for. */
const TOLERANCE_MS = 10 * 60_000;

/** Notices when the wall clock is set: then it has gone another way than time has. */
export interface ClockWatch {
  /** Whether it was set since this was asked last, or since the watch was made. */
  wasSet(): boolean;
}

/**
 * @param nowMs the wall clock
 * @param elapsedMs a clock that nobody sets, default the time since the process started
 */
export function clockWatch(
  nowMs: () => number,
  elapsedMs: () => number = () => performance.now(),
): ClockWatch {
  const differenceMs = (): number => nowMs() - elapsedMs();
  let before = differenceMs();
  return {
    wasSet() {
      const now = differenceMs();
      const set = Math.abs(now - before) > TOLERANCE_MS;
      before = now;
      return set;
    },
  };
}
