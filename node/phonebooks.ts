import { ControlError } from '../protocols/control/errors.ts';
import type { ResolvedPeer } from '../protocols/phonebook/client.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import type { ResolveKey } from '../protocols/phonebook/protocol.ts';
import type { BootstrapLink } from './bootstrap-link.ts';

/** Asking a phonebook. */
const ASK_TIMEOUT_MS = 5_000;

/** When one phonebook has answered, how long the others may still take to contradict it. */
const SECOND_OPINION_MS = 500;

/** Errors that say the phonebook answered with something it can't prove. What the network does is none of its faults. */
const LIES = new Set([
  'InvalidMessageError',
  'InvalidCertificateError',
  'InvalidContactCardError',
  'InvalidPeerRecordError',
]);

/** Of these, what may as well be the fault of a clock, the one here above all. */
const MATTERS_OF_TIME = new Set<unknown>(['expired', 'not-yet-valid']);

function isLie(error: Error & { code?: unknown }): boolean {
  return LIES.has(error.name) && !MATTERS_OF_TIME.has(error.code);
}

/** The part of a bootstrap link that people are looked up through. */
export type LookupLink = Pick<BootstrapLink, 'peerId' | 'status' | 'address'> & {
  phonebook: Pick<BootstrapLink['phonebook'], 'resolve'>;
};

/** What the phonebooks in reach said. */
export interface PhonebookAnswers {
  /** Those that found somebody, in the order of the configuration. */
  found: ResolvedPeer[];
  /** Why others could not say, except those who know nobody by that name. */
  trouble: string[];
}

/**
 * Asks every phonebook in reach at once. Never rejects.
 *
 * @param init.onLie told of a phonebook whose answer did not prove itself
 */
export async function askAll(
  key: ResolveKey,
  {
    links,
    onLie,
    signal,
    secondOpinionMs = SECOND_OPINION_MS,
  }: {
    links: readonly LookupLink[];
    onLie: (message: string) => void;
    signal: AbortSignal;
    secondOpinionMs?: number;
  },
): Promise<PhonebookAnswers> {
  const enough = new AbortController();
  const limit = AbortSignal.any([signal, enough.signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
  const answers: (ResolvedPeer | undefined)[] = [];
  const trouble: string[] = [];
  let late: NodeJS.Timeout | undefined;
  const asked = links.filter(({ status }) => status.state === 'connected');
  await Promise.all(
    asked.map(async ({ peerId, phonebook }, index) => {
      try {
        answers[index] = await phonebook.resolve(key, { signal: limit });
        late ??= setTimeout(() => enough.abort(), secondOpinionMs);
      } catch (error) {
        if (error instanceof PhonebookError && error.code === 'not-found') return;
        if (enough.signal.aborted || signal.aborted) return;
        const { message } = error as Error;
        trouble.push(message);
        if (isLie(error as Error))
          onLie(`the phonebook ${peerId.toString()} gave an answer it can't prove: ${message}`);
      }
    }),
  );
  clearTimeout(late);
  return { found: answers.filter((answer) => answer !== undefined), trouble };
}

/** A warning when phonebooks give one name to different peers. */
export function contradiction(name: string, found: readonly ResolvedPeer[]): string | null {
  const claims = found.map(({ peerId, certificate }) => ({ peerId, phonebook: certificate?.phonebook }));
  if (new Set(claims.map(({ peerId }) => peerId)).size < 2) return null;
  const said = claims.map(({ peerId, phonebook }) => `${peerId} by the phonebook ${phonebook}`);
  return `the name ${name} belongs to ${said.join(', and to ')}`;
}

/** What to tell whoever looked for a name that was not found. */
export function nobody(
  name: string,
  { trouble, inReach, field }: { trouble: readonly string[]; inReach: boolean; field: string },
): ControlError {
  if (trouble.length > 0) {
    return new ControlError('unavailable', `${name} could not be looked up: ${trouble.join('; ')}`, {
      field,
      hint: 'try again; a peer id or an invite works without a phonebook',
    });
  }
  return new ControlError('not-found', `nobody is known as ${name}`, {
    field,
    hint: inReach
      ? 'check the spelling, or ask for an invite'
      : 'no phonebook is in reach; a peer id or an invite works without one',
  });
}
