import { ControlError } from '../protocols/control/errors.ts';
import {
  formatSafetyCode,
  inGroups,
  InvalidSafetyCodeError,
  parseSafetyCode,
  safetyNumber,
} from '../protocols/contact-card/safety-number.ts';
import type { NodeStore } from './store/operations.ts';

/** Whose keys the user has compared by another way. */
export interface Verifications {
  /** When a key was marked as verified; null when it was not. */
  markedMs(peer: string): number | null;
  /** Marks a key, or takes the mark back. */
  mark(peer: string, verifiedMs: number | null): Promise<void>;
  /** The store has taken a mark back already, with something else. */
  forgotten(peer: string): void;
}

export async function verifications(store: NodeStore): Promise<Verifications> {
  const marks = new Map<string, number>();
  for (const { peer, verifiedMs } of await store.call('verifications.list', undefined))
    marks.set(peer, verifiedMs);
  return {
    markedMs: (peer) => marks.get(peer) ?? null,
    async mark(peer, verifiedMs) {
      // On disk first: a mark that is shown has to be there after a restart.
      await store.call('verifications.put', { peer, verifiedMs });
      if (verifiedMs === null) marks.delete(peer);
      else marks.set(peer, verifiedMs);
    },
    forgotten: (peer) => void marks.delete(peer),
  };
}

/** The safety number of two peers in groups of five. Takes 10 ms, and is kept nowhere: a daemon that is locked has no list of them. */
export function numberOf(self: string, peer: string): string {
  return inGroups(safetyNumber(self, peer));
}

export interface Comparison {
  result: 'match' | 'mismatch' | 'own';
  /** In words. */
  detail: string;
}

/**
 * Compares what the other's screen showed with what is known here.
 *
 * @param who what the user calls them
 * @throws ControlError `invalid` for what is no code and no number
 */
export function compareCode(
  text: string,
  { self, peer, who }: { self: string; peer: string; who: string },
): Comparison {
  const code = read(text);
  const match: Comparison = { result: 'match', detail: `it is the same: ${peer} is the key of ${who}` };
  if ('digits' in code) {
    return code.digits === numberOf(self, peer).replaceAll(' ', '')
      ? match
      : { result: 'mismatch', detail: `the numbers differ: one of you has another key than the other's` };
  }
  const { shownBy, about } = code;
  if (shownBy === self) {
    return {
      result: 'own',
      detail: `that is the code of your own screen; it takes the one that ${who} is shown`,
    };
  }
  if (shownBy === peer && about === self) return match;
  const wrong = [
    ...(shownBy === peer ? [] : [`it was shown by ${shownBy}, and here ${who} is ${peer}`]),
    ...(about === self ? [] : [`it is about ${about}, and you are ${self}`]),
  ];
  return { result: 'mismatch', detail: wrong.join('; ') };
}

function read(text: string): ReturnType<typeof parseSafetyCode> {
  try {
    return parseSafetyCode(text);
  } catch (error) {
    if (!(error instanceof InvalidSafetyCodeError)) throw error;
    throw new ControlError('invalid', error.message, {
      field: 'code',
      hint: 'it is the line below the QR code that "tincan verify" shows them, or the 60 digits',
      cause: error,
    });
  }
}

/** What the own screen shows about a peer, as a QR code's text. */
export function codeAbout(peer: string, self: string): string {
  return formatSafetyCode({ shownBy: self, about: peer });
}
