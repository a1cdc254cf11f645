import { setTimeout as delay } from 'node:timers/promises';

/** Long enough for a loaded machine with two cores; a condition that holds is seen within `LOOK_MS`. */
const WAIT_MS = 30_000;

/** Between two looks. */
const LOOK_MS = 20;

export interface WaitOptions {
  signal: AbortSignal;
  timeoutMs?: number;
}

/**
 * Looks until `look` gives something other than undefined or false, and returns that.
 *
 * @param what what is waited for, for the error message
 * @param look an error it throws means "not yet": a program that restarts does not answer
 * @throws Error with the last error as its cause, when the time is up
 */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { signal, timeoutMs = WAIT_MS }: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  do {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      signal.throwIfAborted();
      last = error;
    }
    await delay(LOOK_MS, undefined, { signal });
  } while (performance.now() < deadline);
  const reason = last === undefined ? '' : `: ${(last as Error).message}`;
  throw new Error(`waited ${timeoutMs / 1000} s for ${what}${reason}`, { cause: last });
}
