import type { Ed25519PrivateKey } from '@libp2p/interface';
import { isRenewalDue, verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import { ControlError } from '../protocols/control/errors.ts';
import type { BootstrapLink } from './bootstrap-link.ts';
import { inTurn } from './in-turn.ts';
import type { NodeStore } from './store/operations.ts';

const NAME_KEY = 'name';
const CERTIFICATE_KEY = 'certificate/';

/** A claim or a release at one phonebook. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface HeldCertificate {
  certificate: NameCertificate;
  bytes: Uint8Array;
}

/** The part of a bootstrap link that names are claimed through. */
export type PhonebookLink = Pick<BootstrapLink, 'peerId' | 'status' | 'phonebook'>;

/** The name this daemon goes by, and the certificates that prove it, one a phonebook. */
export interface OwnName {
  readonly name: string | null;
  /** Those that prove the name now. */
  readonly certificates: readonly HeldCertificate[];
  /** Any of these, for a hello; empty when there is none. */
  readonly certificate: Uint8Array;
  /** Claims, renews or releases at one phonebook, when that is due. @throws PhonebookError, what the network threw */
  claimAt(link: PhonebookLink): Promise<void>;
  /** Claims a new name at every phonebook in reach. @throws ControlError when it can be none, or no phonebook gives it */
  claim(name: string): Promise<void>;
  /** Gives the name back at every phonebook in reach, and at the others when they are. @throws ControlError */
  release(): Promise<void>;
}

export interface OwnNameInit {
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  nowMs: () => number;
  links: () => readonly PhonebookLink[];
  /** What a claim says about this peer. */
  presence: () => Promise<{ peerRecord: Uint8Array; contactCard: Uint8Array; listed: boolean }>;
  /** The name or a certificate is another than before: phonebooks and the DHT are to be told. */
  onChange: () => void;
  /** Peer ids of the configured phonebooks. */
  phonebooks: readonly string[];
  /** From the configuration: claimed at start. */
  configured: string | undefined;
  signal: AbortSignal;
}

/** The form of a name that phonebooks keep. @throws ControlError `invalid` for what can be no name */
function checkName(text: string): string {
  try {
    return normaliseName(text);
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw new ControlError('invalid', error.message, { field: 'name', hint: error.hint, cause: error });
  }
}

/** What a phonebook's refusal of a claim is to who asked for it. */
function claimError(error: unknown, name: string): ControlError {
  if (!(error instanceof PhonebookError)) {
    return new ControlError('unavailable', `no phonebook answered: ${(error as Error).message}`, {
      hint: 'try again when "tincan status" shows a phonebook connected',
      cause: error,
    });
  }
  const details = { field: 'name', hint: error.hint, cause: error };
  switch (error.code) {
    case 'taken':
      return new ControlError('conflict', `the name ${name} is taken`, details);
    case 'has-name':
      return new ControlError('conflict', error.message, {
        ...details,
        hint: 'run "tincan name release" first',
      });
    case 'invalid-name':
      return new ControlError('invalid', error.message, details);
    case 'rate-limited':
      return new ControlError('rate-limited', error.message, details);
    default:
      return new ControlError('unavailable', error.message, details);
  }
}

/** Of several refusals the one that says most: what a phonebook decided, before what the network did. */
function tellingReason(outcomes: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  return reasons.find((reason) => reason instanceof PhonebookError) ?? reasons[0];
}

export async function ownName(init: OwnNameInit): Promise<OwnName> {
  const { store, privateKey, nowMs } = init;
  const held = new Map<string, HeldCertificate>();
  /** Names that phonebooks hold for us and that are not noted here: we died after a claim, or run on an old copy. */
  const unnoted = new Map<string, string>();
  const savedName = await store.call('meta.get', { key: NAME_KEY });
  let name = savedName === undefined ? null : Buffer.from(savedName).toString();
  /** What is claimed wherever it is not held yet; null gives back what is held. */
  let target = init.configured === undefined ? name : checkName(init.configured);

  const inTime = (): { signal: AbortSignal } => ({
    signal: AbortSignal.any([init.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
  });

  /** One request at a time to a phonebook: the answer to a claim must not overtake a release. */
  const phonebookInTurn = inTurn();

  const setName = async (now: string | null): Promise<void> => {
    if (name === now) return;
    name = now;
    await store.call('meta.put', { key: NAME_KEY, value: now === null ? null : Buffer.from(now) });
  };

  const load = async (phonebook: string): Promise<void> => {
    const bytes = await store.call('meta.get', { key: CERTIFICATE_KEY + phonebook });
    if (bytes === undefined) return;
    try {
      held.set(phonebook, { certificate: await verifyCertificate(bytes, { nowMs: nowMs() }), bytes });
    } catch {
      // Expired while the daemon was off: the name is claimed like a new one.
    }
  };

  const claimFrom = async (link: PhonebookLink, wanted: string): Promise<void> => {
    const phonebook = link.peerId.toString();
    const seq = (held.get(phonebook)?.certificate.seq ?? 0) + 1;
    const presence = await init.presence();
    try {
      const { certificate, certificateBytes: bytes } = await link.phonebook.claim(
        { name: wanted, privateKey, seq, ...presence },
        inTime(),
      );
      await store.call('meta.put', { key: CERTIFICATE_KEY + phonebook, value: bytes });
      held.set(phonebook, { certificate, bytes });
      unnoted.delete(phonebook);
    } catch (error) {
      const heldName = error instanceof PhonebookError ? error.details.heldName : undefined;
      if (heldName !== undefined && heldName !== '' && !held.has(phonebook)) unnoted.set(phonebook, heldName);
      throw error;
    }
  };

  const giveBack = async ({ phonebook }: PhonebookLink, given: string, seq: number): Promise<void> => {
    try {
      await phonebook.release({ name: given, seq }, inTime());
    } catch (error) {
      if (!(error instanceof PhonebookError)) throw error;
      // Not ours any more: then there is nothing left to give back.
      if (error.code === 'not-yours' || error.code === 'not-found') return;
      if (error.code !== 'stale-seq') throw error;
      await phonebook.release({ name: given, seq: (error.details.currentSeq ?? 0) + 1 }, inTime());
    }
  };

  const releaseAt = async (link: PhonebookLink): Promise<void> => {
    const phonebook = link.peerId.toString();
    const known = held.get(phonebook)?.certificate;
    if (known === undefined) return;
    await giveBack(link, known.name, known.seq + 1);
    held.delete(phonebook);
    await store.call('meta.put', { key: CERTIFICATE_KEY + phonebook, value: null });
  };

  /** Only when the user wants it: they may not know what a phonebook says they have. */
  const releaseUnnotedAt = async (link: PhonebookLink): Promise<void> => {
    const phonebook = link.peerId.toString();
    const given = unnoted.get(phonebook);
    if (given === undefined) return;
    await giveBack(link, given, 1);
    unnoted.delete(phonebook);
  };

  const settleAt = async (link: PhonebookLink): Promise<void> => {
    const known = held.get(link.peerId.toString())?.certificate;
    if (target === null) {
      await releaseAt(link);
      return;
    }
    const due = known === undefined || isRenewalDue(known, nowMs());
    if (known?.name === target && !due) return;
    const wanted = target;
    try {
      await claimFrom(link, wanted);
    } catch (error) {
      // Refused another one, we keep the name that we have there.
      if (known !== undefined && known.name !== wanted && due && error instanceof PhonebookError)
        await claimFrom(link, known.name);
      throw error;
    }
    // Meanwhile the user may have wanted something else.
    if (target === wanted) await setName(wanted);
    init.onChange();
  };

  const connected = (): PhonebookLink[] => init.links().filter(({ status }) => status.state === 'connected');

  const proofs = (): HeldCertificate[] =>
    Array.from(held.values()).filter(
      ({ certificate }) => certificate.name === name && certificate.expiresMs > nowMs(),
    );

  const claim = async (wanted: string): Promise<void> => {
    const links = connected();
    if (links.length === 0) {
      throw new ControlError('unavailable', 'no phonebook is in reach', {
        hint: 'give one with --bootstrap; without a name, peers find each other by peer id and invite',
      });
    }
    // At once: a link that takes its turn after the first claim would else give the new name back again.
    const before = target;
    target = wanted;
    const outcomes = await Promise.allSettled(
      links.map((link) => phonebookInTurn(link.peerId.toString(), () => claimFrom(link, wanted))),
    );
    if (outcomes.every(({ status }) => status === 'rejected')) {
      target = before;
      throw claimError(tellingReason(outcomes), wanted);
    }
    await setName(wanted);
    init.onChange();
  };

  const release = async (): Promise<void> => {
    if (name === null && unnoted.size === 0)
      throw new ControlError('not-found', 'this daemon has no name to release');
    const links = connected();
    if (links.length === 0) {
      throw new ControlError('unavailable', 'no phonebook is in reach', {
        hint: 'try again when "tincan status" shows one connected',
      });
    }
    const given = name ?? [...unnoted.values()][0]!;
    target = null;
    await setName(null);
    const outcomes = await Promise.allSettled(
      links.map((link) =>
        phonebookInTurn(link.peerId.toString(), async () => {
          await releaseAt(link);
          await releaseUnnotedAt(link);
        }),
      ),
    );
    init.onChange();
    if (outcomes.every(({ status }) => status === 'rejected'))
      throw claimError(tellingReason(outcomes), given);
  };

  for (const phonebook of init.phonebooks) await load(phonebook);
  return {
    get name() {
      return name;
    },
    get certificates() {
      return proofs();
    },
    get certificate() {
      return proofs()[0]?.bytes ?? new Uint8Array(0);
    },
    claimAt: (link) => phonebookInTurn(link.peerId.toString(), () => settleAt(link)),
    claim: async (given) => {
      const wanted = checkName(given);
      return phonebookInTurn('user', () => claim(wanted));
    },
    release: () => phonebookInTurn('user', release),
  };
}
