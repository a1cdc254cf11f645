import { setTimeout as delay } from 'node:timers/promises';
import type { ControlClient } from '../protocols/control/client.ts';
import type { EventStream } from '../protocols/control/event-stream.ts';
import type { EventView } from '../protocols/control/contract.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import { findDaemon } from './daemon-address.ts';

/** What happens to somebody who follows a daemon. */
export type Followed =
  /** The daemon is there. All that happens from now on follows; what happened while it was away may have to be asked for. */
  | { type: 'opened'; client: ControlClient }
  | { type: 'event'; event: EventView }
  /** The daemon went away. `opened` comes again when it is back. */
  | { type: 'lost' };

/** A daemon needs some 300 ms to start, so a restart is noticed at once; a long absence costs one look in two seconds. */
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2000;

/**
 * The events of a data directory's daemon, across its restarts. Ends when the signal fires.
 *
 * @throws {DaemonUnreachableError} only if there is no daemon at the beginning
 */
export async function* followDaemon({
  dataDir,
  signal,
}: {
  dataDir: string;
  signal: AbortSignal;
}): AsyncGenerator<Followed, void, undefined> {
  let after: string | undefined;
  let openedBefore = false;
  let lost = false;
  let delayMs = FIRST_DELAY_MS;

  while (!signal.aborted) {
    let client: ControlClient | undefined;
    let events: EventStream | undefined;
    try {
      client = findDaemon(dataDir);
      events = client.events({ after, signal });
      await events.opened;
      openedBefore = true;
      lost = false;
      delayMs = FIRST_DELAY_MS;
      yield { type: 'opened', client };
      for await (const event of events) yield { type: 'event', event };
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ControlError && error.code === 'invalid' && after !== undefined) {
        // Another daemon now serves this directory: begin anew.
        events = undefined;
        after = undefined;
        continue;
      }
      if (!openedBefore || !isAbsence(error)) throw error;
    } finally {
      after = events?.cursor ?? after;
      client?.close();
    }
    if (!lost) {
      lost = true;
      yield { type: 'lost' };
    }
    // Spread out, so that many clients of one daemon don't come back in the same instant.
    await delay(delayMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {});
    delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS);
  }
}

/** Whether an error means that the daemon is not there at the moment. */
export function isAbsence(error: unknown): boolean {
  return (
    error instanceof DaemonUnreachableError || (error instanceof ControlError && error.code === 'unavailable')
  );
}
