import type { Ed25519PrivateKey } from '@libp2p/interface';
import { isRenewalDue, verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import { ControlError } from '../protocols/control/errors.ts';
import type { BootstrapLink } from './bootstrap-link.ts';
import type { NodeStore } from './store/operations.ts';

const NAME_KEY = 'name';
const CERTIFICATE_KEY = 'certificate/';

/** A claim or a release at one phonebook. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface HeldCertificate {
  certificate: NameCertificate;
  bytes: Uint8Array;
}

/** The name this daemon goes by, and the certificates that prove it, one a phonebook. */
export interface OwnName {
  readonly name: string | null;
  readonly certificates: readonly HeldCertificate[];
  /** Any certificate, for a hello; empty when there is none. */
  readonly certificate: Uint8Array;
  /** Why phonebooks refuse the name, by their peer id. */
  readonly refusals: ReadonlyMap<string, string>;
  /** Claims, renews or releases at one phonebook, when that is due. @throws PhonebookError */
  claimAt(link: BootstrapLink): Promise<void>;
  /** Claims a new name at every phonebook in reach. @throws ControlError when it can be none, or no phonebook gives it */
  claim(name: string): Promise<void>;
  /** Gives the name back at every phonebook in reach, and at the others when they are. */
  release(): Promise<void>;
}

export interface OwnNameInit {
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  nowMs: () => number;
  links: () => readonly BootstrapLink[];
  /** What a claim says about this peer. */
  presence: () => Promise<{ peerRecord: Uint8Array; contactCard: Uint8Array; listed: boolean }>;
  /** A new certificate was given: to be put in the DHT. */
  onCertificate: (held: HeldCertificate) => void;
  /** Peer ids of the configured phonebooks. */
  phonebooks: readonly string[];
  /** From the configuration: claimed at start. */
  configured: string | undefined;
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

export async function ownName(init: OwnNameInit): Promise<OwnName> {
  const { store, privateKey, nowMs } = init;
  const held = new Map<string, HeldCertificate>();
  const refusals = new Map<string, string>();
  const savedName = await store.call('meta.get', { key: NAME_KEY });
  let name = savedName === undefined ? null : Buffer.from(savedName).toString();
  const wanted = init.configured === undefined ? name : checkName(init.configured);

  const keep = async (phonebook: string, bytes: Uint8Array, certificate: NameCertificate): Promise<void> => {
    await store.call('meta.put', { key: CERTIFICATE_KEY + phonebook, value: bytes });
    await store.call('meta.put', { key: NAME_KEY, value: Buffer.from(certificate.name) });
    name = certificate.name;
    held.set(phonebook, { certificate, bytes });
    refusals.delete(phonebook);
    init.onCertificate({ certificate, bytes });
  };

  const load = async (phonebook: string): Promise<HeldCertificate | undefined> => {
    const known = held.get(phonebook);
    if (known !== undefined) return known;
    const bytes = await store.call('meta.get', { key: CERTIFICATE_KEY + phonebook });
    if (bytes === undefined) return undefined;
    try {
      const loaded = { certificate: await verifyCertificate(bytes, { nowMs: nowMs() }), bytes };
      held.set(phonebook, loaded);
      return loaded;
    } catch {
      // Expired while the daemon was off: the name is claimed like a new one.
      return undefined;
    }
  };

  const claimFrom = async (link: BootstrapLink, wantedName: string): Promise<void> => {
    const phonebook = link.peerId.toString();
    const seq = (held.get(phonebook)?.certificate.seq ?? 0) + 1;
    try {
      const { certificate, certificateBytes } = await link.phonebook.claim(
        { name: wantedName, privateKey, seq, ...(await init.presence()) },
        { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) },
      );
      await keep(phonebook, certificateBytes, certificate);
    } catch (error) {
      refusals.set(phonebook, (error as Error).message);
      throw error;
    }
  };

  const releaseAt = async (link: BootstrapLink, { certificate }: HeldCertificate): Promise<void> => {
    const phonebook = link.peerId.toString();
    try {
      await link.phonebook.release(
        { name: certificate.name, seq: certificate.seq + 1 },
        { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) },
      );
    } catch (error) {
      // Not ours any more: then there is nothing left to give back.
      if (!(error instanceof PhonebookError) || !['not-yours', 'not-found'].includes(error.code)) throw error;
    }
    held.delete(phonebook);
    await store.call('meta.put', { key: CERTIFICATE_KEY + phonebook, value: null });
  };

  const connected = (): BootstrapLink[] => init.links().filter(({ status }) => status.state === 'connected');

  let target = wanted;
  for (const phonebook of init.phonebooks) await load(phonebook);
  return {
    get name() {
      return name;
    },
    get certificates() {
      return [...held.values()];
    },
    get certificate() {
      return held.values().next().value?.bytes ?? new Uint8Array(0);
    },
    refusals,

    async claimAt(link) {
      const known = await load(link.peerId.toString());
      if (target === null) {
        if (known !== undefined) await releaseAt(link, known);
        return;
      }
      const good = known !== undefined && known.certificate.name === target;
      if (good && !isRenewalDue(known.certificate, nowMs())) return;
      await claimFrom(link, target);
    },

    async claim(given) {
      const wantedName = checkName(given);
      const links = connected();
      if (links.length === 0) {
        throw new ControlError('unavailable', 'no phonebook is in reach', {
          hint: 'give one with --bootstrap; without a name, peers find each other by peer id and invite',
        });
      }
      const outcomes = await Promise.allSettled(links.map((link) => claimFrom(link, wantedName)));
      const refused = outcomes.find((outcome) => outcome.status === 'rejected');
      if (outcomes.every(({ status }) => status === 'rejected'))
        throw claimError(refused?.reason, wantedName);
      target = wantedName;
      for (const link of links) link.refresh();
    },

    async release() {
      if (name === null) throw new ControlError('not-found', 'this daemon has no name to release');
      const links = connected();
      if (links.length === 0) {
        throw new ControlError('unavailable', 'no phonebook is in reach', {
          hint: 'try again when "tincan status" shows one connected',
        });
      }
      const given = name;
      target = null;
      name = null;
      await store.call('meta.put', { key: NAME_KEY, value: null });
      for (const link of links) {
        const known = await load(link.peerId.toString());
        if (known === undefined) continue;
        await releaseAt(link, known).catch((error: unknown) => {
          throw claimError(error, given);
        });
        link.refresh();
      }
    },
  };
}
