import type { ContactCard } from '../protocols/contact-card/card.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import type { ResolvedPeer } from '../protocols/phonebook/client.ts';
import type { ResolveKey } from '../protocols/phonebook/protocol.ts';
import type { DhtRecords } from './dht-records.ts';
import type { PeoplePapers } from './people-papers.ts';
import { askAll, contradiction, nobody } from './phonebooks.ts';
import type { LookupLink, PhonebookAnswers } from './phonebooks.ts';
import type { KeyChange, PinnedNames } from './pinned-names.ts';

/** Asking the DHT. */
const LOOKUP_TIMEOUT_MS = 5_000;

export interface Found {
  peerId: string;
  name: string | null;
  certificate: NameCertificate | null;
  card: ContactCard | null;
  multiaddrs: string[];
  online: boolean;
  lastSeenMs: number | null;
  source: 'contact' | 'phonebook' | 'dht' | 'invite' | 'connection' | 'peer-id';
  warning: string | null;
  /** A change of key that this peer has to do with and that is not decided. */
  change: KeyChange | null;
  /** Whether nothing is sent to what was looked up: the name is in question. */
  blocked: boolean;
}

/** Asking phonebooks and the DHT, which may lie: what they prove is pinned, and a name that is pinned stays where it is. */
export interface Lookups {
  /** Asks every phonebook in reach, and keeps the addresses and cards that come with the answers. */
  ask(key: ResolveKey, options: { signal: AbortSignal }): Promise<PhonebookAnswers>;
  /**
   * Whom a name stands for: whoever it is pinned to, else whom the phonebooks or the DHT prove.
   *
   * @throws ControlError `not-found`, or `unavailable` when a phonebook could not say
   */
  byName(name: string, options: { signal: AbortSignal; field: string }): Promise<Found>;
  /** What the phonebooks have of a peer. */
  byPeerId(peerId: string, options: { signal: AbortSignal }): Promise<Found | undefined>;
  /** What is known of a peer without asking. */
  blank(peerId: string, source: Found['source']): Found;
  /** Pins what a certificate proves. A warning when the name stays with another. */
  pin(certificate: NameCertificate, bytes: Uint8Array, options: { asked: boolean }): Promise<string | null>;
}

export interface LookupsInit {
  links: () => readonly LookupLink[];
  dht: Pick<DhtRecords, 'lookupName'>;
  pins: PinnedNames;
  papers: Pick<PeoplePapers, 'keepCard'>;
  nowMs: () => number;
  /** The name, if it may be shown for that peer. */
  shownName: (name: string | undefined, peerId: string) => string | null;
  onAddresses: (peerId: string, multiaddrs: string[]) => Promise<void>;
  onWarning: (message: string) => void;
  onKeyChange: (change: KeyChange, message: string) => void;
}

/** A signal that also ends a lookup in the DHT in time. */
export function inTime(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_TIMEOUT_MS)]);
}

export function lookups(init: LookupsInit): Lookups {
  const { links, dht, pins, papers, nowMs, shownName } = init;

  const pin: Lookups['pin'] = async (certificate, bytes, { asked }) => {
    const doubt = await pins.pin(certificate, bytes, { asked, nowMs: nowMs() });
    if (doubt === null) return null;
    const change = pins.changeOf(certificate.name);
    if (doubt.kind === 'same-seq') init.onWarning(doubt.message);
    else if (doubt.isNew && change !== undefined) init.onKeyChange(change, doubt.message);
    return doubt.message;
  };

  const ask: Lookups['ask'] = async (key, { signal }) => {
    const answers = await askAll(key, { links: links(), onLie: init.onWarning, signal });
    for (const { peerId, multiaddrs, contactCard, contactCardBytes } of answers.found) {
      if (multiaddrs.length > 0) await init.onAddresses(peerId, multiaddrs);
      if (contactCard !== null && contactCardBytes !== null)
        await papers.keepCard(peerId, contactCard, contactCardBytes);
    }
    return answers;
  };

  const blank: Lookups['blank'] = (peerId, source) => ({
    peerId,
    name: shownName(pins.nameOf(peerId), peerId),
    certificate: null,
    card: null,
    multiaddrs: [],
    online: false,
    lastSeenMs: null,
    source,
    warning: null,
    change: null,
    blocked: false,
  });

  const fromPhonebook = async (found: ResolvedPeer): Promise<Found> => {
    const { peerId, certificate, certificateBytes } = found;
    const warning =
      certificate === null || certificateBytes === null
        ? null
        : await pin(certificate, certificateBytes, { asked: true });
    return {
      ...blank(peerId, 'phonebook'),
      name: shownName(certificate?.name, peerId) ?? shownName(pins.nameOf(peerId), peerId),
      // What names somebody else here is no proof of who this is.
      certificate: warning === null ? certificate : null,
      card: found.contactCard,
      multiaddrs: found.multiaddrs,
      online: found.online,
      lastSeenMs: found.lastSeenMs === 0 ? null : found.lastSeenMs,
      warning,
    };
  };

  const byName: Lookups['byName'] = async (name, { signal, field }) => {
    const { found, trouble } = await ask({ name }, { signal });
    const contradicted = contradiction(name, found);
    if (contradicted !== null && pins.ownerOf(name) === undefined) {
      // Nothing is pinned: the user has to say which of them is meant.
      init.onWarning(contradicted);
      return { ...blank(found[0]!.peerId, 'phonebook'), warning: contradicted, blocked: true };
    }
    let view: Found | undefined;
    let warning: string | null = null;
    for (const answer of found) {
      const each = await fromPhonebook(answer);
      warning ??= each.warning;
      if (each.peerId === pins.ownerOf(name)) view ??= each;
    }
    if (found.length === 0) {
      for (const { peerId: phonebook } of links()) {
        const record = await dht.lookupName(phonebook.toString(), name, { signal: inTime(signal) });
        if (record === undefined) continue;
        const { certificate, bytes } = record;
        if (certificate.name !== name || certificate.phonebook !== phonebook.toString()) continue;
        warning = await pin(certificate, bytes, { asked: true });
        if (warning === null) view = { ...blank(certificate.owner, 'dht'), certificate };
        break;
      }
    }
    const owner = pins.ownerOf(name);
    if (owner === undefined) {
      const inReach = links().some(({ status }) => status.state === 'connected');
      throw nobody(name, { trouble, inReach, field });
    }
    return { ...(view ?? blank(owner, 'contact')), name: shownName(name, owner), warning };
  };

  return {
    ask,
    byName,
    async byPeerId(peerId, options) {
      const [found] = (await ask({ peerId }, options)).found;
      return found && fromPhonebook(found);
    },
    blank,
    pin,
  };
}
