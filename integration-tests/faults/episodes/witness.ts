import { setTimeout as delay } from 'node:timers/promises';
import type { EventView, MessageView } from '../../../protocols/control/contract.ts';
import { ControlError } from '../../../protocols/control/errors.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Ledger } from './ledger.ts';

/** Between two tries at a daemon that is down. */
const AGAIN_MS = 50;

/** Ids of one `delivered` that are looked for at the recipient at once; the end of a run looks for all. */
const LOOKED_FOR = 4;

export interface WitnessInit {
  who: string;
  daemon: Daemon;
  /** The others by peer id, to ask whether what is shown as delivered is there. */
  others: ReadonlyMap<string, { who: string; daemon: Daemon }>;
  ledger: Ledger;
  signal: AbortSignal;
}

/**
 * Follows somebody's events through all restarts, and holds them to the ledger: each message comes once, no state moves
 * back, and what is shown as delivered is in the recipient's history at that time. Ends when the signal fires.
 */
export async function witness({ who, daemon, others, ledger, signal }: WitnessInit): Promise<void> {
  const peerId = daemon.peerId;
  const checks = new Set<Promise<void>>();

  /** Asks until the recipient answers: it may be down, but it must have committed before. */
  const mustHave = async (to: string, id: string): Promise<void> => {
    const recipient = others.get(to)!;
    while (!signal.aborted) {
      try {
        await recipient.daemon.client.call('message', { id }, { signal });
        return;
      } catch (error) {
        if (error instanceof ControlError && error.code === 'not-found') {
          ledger.violated(`${who} is shown ${id} as delivered, and ${recipient.who} does not have it`);
          return;
        }
      }
      await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  };

  const ownMessage = ({ id, state, to }: MessageView): void => {
    ledger.shows(who, id, state);
    if (state === 'delivered' || state === 'read') look(to, [id]);
  };

  const look = (to: string, ids: readonly string[]): void => {
    for (const id of ids.slice(0, LOOKED_FOR)) {
      const check = mustHave(to, id);
      checks.add(check);
      void check.finally(() => checks.delete(check));
    }
  };

  const see = (event: EventView): void => {
    if (event.type === 'message') {
      if (event.message.from === peerId) ownMessage(event.message);
      else ledger.arrives(who, event.message);
    } else if (event.type === 'state') {
      for (const id of event.ids) ledger.shows(who, id, event.state);
      if (event.state === 'delivered' || event.state === 'read') look(event.peerId, event.ids);
    }
  };

  let cursor: string | undefined;
  while (!signal.aborted) {
    try {
      const stream = daemon.client.events({ signal, after: cursor });
      try {
        for await (const event of stream) see(event);
      } finally {
        cursor = stream.cursor ?? cursor;
      }
    } catch (error) {
      if (error instanceof ControlError && error.code === 'invalid') {
        ledger.violated(`${who} can't go on reading events at ${cursor}: ${error.message}`);
        cursor = undefined;
      }
    }
    await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
  await Promise.all(checks);
}
