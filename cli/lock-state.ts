import { setTimeout as delay } from 'node:timers/promises';
import type { ControlClient } from '../protocols/control/client.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import { findDaemon } from './daemon-address.ts';

/** A daemon stops and starts in three seconds, on a busy machine in more. */
const CHANGE_MS = 15_000;

const LOOK_MS = 25;

/** Whether a daemon answers, and is locked. */
export async function isLocked(client: ControlClient, signal: AbortSignal): Promise<boolean> {
  try {
    await client.call('identity', {}, { signal });
    return false;
  } catch (error) {
    if (error instanceof ControlError && error.code === 'locked') return true;
    throw error;
  }
}

/**
 * Resolves when a daemon that was told to has locked itself, or is back.
 *
 * @throws DaemonUnreachableError when it does not answer in time
 */
export async function untilLocked(dataDir: string, wanted: boolean, signal: AbortSignal): Promise<void> {
  const late = Date.now() + CHANGE_MS;
  for (;;) {
    try {
      const client = findDaemon(dataDir);
      try {
        if ((await isLocked(client, signal)) === wanted) return;
      } finally {
        client.close();
      }
    } catch (error) {
      const isBetween =
        error instanceof DaemonUnreachableError ||
        (error instanceof ControlError && error.code === 'unavailable');
      if (!isBetween || Date.now() > late) throw error;
    }
    await delay(LOOK_MS, undefined, { signal });
  }
}
