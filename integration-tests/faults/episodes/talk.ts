import { setTimeout as delay } from 'node:timers/promises';
import { ControlError } from '../../../protocols/control/errors.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Random } from '../../harness/random.ts';
import { tagText } from './ledger.ts';
import type { Ledger } from './ledger.ts';

/** Of a person in a lively chat: now and then many at once, then a pause. */
const LONGEST_PAUSE_MS = 400;
const BURST = 0.2;

/** Most texts are short; some take several packets, and a few almost fill a message. */
const LONG_TEXTS: readonly [chance: number, characters: number][] = [
  [0.02, 60_000],
  [0.12, 3_000],
];

/** After a call that failed. */
const AGAIN_MS = 100;

/** Messages a page of history that is held to the ledger. */
const PAGE = 50;

export interface Speaker {
  who: string;
  daemon: Daemon;
}

export interface TalkInit {
  from: Speaker;
  to: Speaker;
  ledger: Ledger;
  random: Random;
  /** Ends it, after the message that is under way. */
  until: AbortSignal;
  signal: AbortSignal;
}

/**
 * Writes messages from one to another, one after the other, and tells the ledger what the sender was told about each. Now
 * and then it looks at the conversation, as a person does, and marks what it sees as read.
 */
export async function talk({ from, to, ledger, random, until, signal }: TalkInit): Promise<void> {
  const recipient = to.daemon.peerId;
  for (let number = 1; !until.aborted; number++) {
    const tag = { from: from.who, to: to.who, number };
    const text = tagText(tag, padding(random));
    ledger.sends(tag, text);
    let pauseMs = random() < BURST ? 0 : random() * LONGEST_PAUSE_MS;
    const looks = random() < BURST;
    try {
      const { id } = await from.daemon.client.call('send', { to: recipient, text }, { signal });
      ledger.promised(tag, id);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ControlError) ledger.refused(tag);
      pauseMs = AGAIN_MS;
    }
    // What fails here has failed above, or will.
    if (looks) await lookAt(from, to, ledger, { signal }).catch(() => undefined);
    if (pauseMs > 0) await delay(pauseMs, undefined, { signal: until }).catch(() => undefined);
  }
}

async function lookAt(
  { who, daemon }: Speaker,
  other: Speaker,
  ledger: Ledger,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const peer = other.daemon.peerId;
  const { messages } = await daemon.client.call('history', { who: peer, limit: PAGE }, { signal });
  ledger.reads(who, other.who, messages);
  const newest = messages.findLast(({ from }) => from === peer);
  if (newest !== undefined) await daemon.client.call('markRead', { who: peer, upTo: newest.id }, { signal });
}

function padding(random: Random): string {
  const chance = random();
  const characters = LONG_TEXTS.find(([upTo]) => chance < upTo)?.[1] ?? random() * 100;
  return 'x'.repeat(Math.floor(characters));
}
