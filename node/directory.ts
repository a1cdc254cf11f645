import { multiaddr } from '@multiformats/multiaddr';
import { ControlError } from '../protocols/control/errors.ts';
import { openCard } from '../protocols/contact-card/card.ts';
import type { ContactCard, MailboxAddress } from '../protocols/contact-card/card.ts';
import { verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import type { ResolvedPeer } from '../protocols/phonebook/client.ts';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import type { ResolveKey } from '../protocols/phonebook/protocol.ts';
import type { BootstrapLink } from './bootstrap-link.ts';
import type { DhtRecords } from './dht-records.ts';
import { isInvite, parseInvite } from './invite.ts';
import { parsePeerId } from './peer-ids.ts';
import type { NodeStore } from './store/operations.ts';
import type { ContactRow, Pin } from './store/people.ts';

/** Asking a phonebook, and the DHT behind it. */
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
}

export interface ResolveOptions {
  signal: AbortSignal;
  /** What the request calls it, for errors. Default: `who`. */
  field?: string;
}

/** Who is meant by what a person types, and what is known of them. */
export interface Directory {
  /** The peer id behind a petname, name, peer id or invite, from what is known here; asks others only for a new name. */
  resolve(who: string, options: ResolveOptions): Promise<string>;
  /** As `resolve`, for what needs no asking; undefined for what does. */
  known(who: string): string | undefined;
  /** All there is to know about somebody, asked afresh. @throws ControlError `not-found`, `invalid` */
  lookup(who: string, options: { signal: AbortSignal }): Promise<Found>;
  /** Asks every phonebook in reach; the first good answer. Undefined when none knows. */
  askPhonebooks(key: ResolveKey, options: { signal: AbortSignal }): Promise<ResolvedPeer | undefined>;
  /** Where messages can be left for a peer. */
  mailboxesOf(peerId: string, options: { signal: AbortSignal }): Promise<MailboxAddress[]>;
  /** Keeps a card or certificate that a peer handed over, if it proves itself. */
  learn(peerId: string, papers: { card: Uint8Array; certificate: Uint8Array }): Promise<void>;
  /** What a peer is called here: its petname, else its name. */
  nameOf(peerId: string): string | null;
  /** The name a phonebook certified for a peer, pinned here. */
  certifiedName(peerId: string): string | null;
  readonly contacts: readonly ContactRow[];
  addContact(peerId: string, petname: string | null): Promise<void>;
  removeContact(peerId: string): Promise<void>;
}

export interface DirectoryInit {
  store: NodeStore;
  links: () => readonly BootstrapLink[];
  dht: DhtRecords;
  nowMs: () => number;
  /** A phonebook's answer or an invite held addresses. */
  onAddresses: (peerId: string, multiaddrs: string[]) => Promise<void>;
  onWarning: (message: string) => void;
}

export async function directory(init: DirectoryInit): Promise<Directory> {
  const { store, links, dht, nowMs } = init;
  let contacts: ContactRow[] = [];
  let petnames = new Map<string, string>();
  const readContacts = async (): Promise<void> => {
    contacts = await store.call('contacts.list', undefined);
    petnames = new Map(contacts.flatMap(({ peer, petname }) => (petname === null ? [] : [[peer, petname]])));
  };
  await readContacts();
  const pins = new Map<string, Pin>();
  /** Name by peer id, from certificates that have been verified. */
  const names = new Map<string, string>();
  for (const pin of await store.call('pins.list', undefined)) {
    pins.set(pin.name, pin);
    names.set(pin.peer, pin.name);
  }

  const limit = (signal: AbortSignal): AbortSignal =>
    AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_TIMEOUT_MS)]);

  const petnameHolder = (who: string): string | undefined =>
    contacts.find(({ petname }) => petname === who)?.peer;

  const moved = (pin: Pin, owner: string): string =>
    `the name ${pin.name} now belongs to ${owner}; this daemon knows it as ${pin.peer}`;

  /** Keeps whom a name belongs to at its first use, and warns when that changes later. */
  const pin = async (certificate: NameCertificate, bytes: Uint8Array): Promise<string | null> => {
    const { name, owner, phonebook, seq } = certificate;
    const known = pins.get(name);
    if (known !== undefined && known.peer !== owner) {
      const warning = moved(known, owner);
      init.onWarning(warning);
      return warning;
    }
    if (known === undefined || (known.phonebook === phonebook && known.seq < seq)) {
      const fresh = { name, phonebook, peer: owner, seq, certificate: bytes };
      await store.call('pins.put', fresh);
      pins.set(name, fresh);
      names.set(owner, name);
    }
    return null;
  };

  const askPhonebooks: Directory['askPhonebooks'] = async (key, { signal }) => {
    const asked = links()
      .filter(({ status }) => status.state === 'connected')
      .map((link) => link.phonebook.resolve(key, { signal: limit(signal) }));
    try {
      const found = await Promise.any(asked);
      if (found.multiaddrs.length > 0) await init.onAddresses(found.peerId, found.multiaddrs);
      if (found.contactCardBytes !== null) {
        await store.call('papers.put', {
          peer: found.peerId,
          card: found.contactCardBytes,
          certificate: null,
        });
      }
      return found;
    } catch (error) {
      const reasons = error instanceof AggregateError ? error.errors : [error];
      const unexpected = reasons.find((reason) => !(reason instanceof PhonebookError) && !signal.aborted);
      if (unexpected !== undefined && !(unexpected as Error).name.includes('Timeout')) {
        init.onWarning(`a phonebook gave a wrong answer: ${(unexpected as Error).message}`);
      }
      return undefined;
    }
  };

  const fromPhonebook = async (found: ResolvedPeer): Promise<Found> => ({
    peerId: found.peerId,
    name: found.name,
    certificate: found.certificate,
    card: found.contactCard,
    multiaddrs: found.multiaddrs,
    online: found.online,
    lastSeenMs: found.lastSeenMs === 0 ? null : found.lastSeenMs,
    source: 'phonebook',
    warning:
      found.certificate === null || found.certificateBytes === null
        ? null
        : await pin(found.certificate, found.certificateBytes),
  });

  const byName = async (name: string, signal: AbortSignal, field: string): Promise<Found> => {
    const found = await askPhonebooks({ name }, { signal });
    if (found !== undefined) return fromPhonebook(found);
    for (const { peerId: phonebook } of links()) {
      const record = await dht.lookupName(phonebook.toString(), name, { signal: limit(signal) });
      if (record === undefined) continue;
      const { certificate, bytes } = record;
      return {
        ...blank(certificate.owner, 'dht'),
        name,
        certificate,
        warning: await pin(certificate, bytes),
      };
    }
    const known = pins.get(name);
    if (known !== undefined) return { ...blank(known.peer, 'contact'), name };
    throw new ControlError('not-found', `nobody is known as ${name}`, {
      field,
      hint: links().some(({ status }) => status.state === 'connected')
        ? 'check the spelling, or ask for an invite'
        : 'no phonebook is in reach; a peer id or an invite works without one',
    });
  };

  const blank = (peerId: string, source: Found['source']): Found => ({
    peerId,
    name: names.get(peerId) ?? null,
    certificate: null,
    card: null,
    multiaddrs: [],
    online: false,
    lastSeenMs: null,
    source,
    warning: null,
  });

  const normalised = (who: string, field: string): string => {
    try {
      return normaliseName(who);
    } catch (error) {
      if (!(error instanceof InvalidNameError)) throw error;
      throw new ControlError('invalid', error.message, { field, hint: error.hint });
    }
  };

  const readInvite = async (who: string, field: string): Promise<string> => {
    try {
      const { peerId, multiaddrs } = parseInvite(who);
      await init.onAddresses(peerId, multiaddrs);
      return peerId;
    } catch (error) {
      throw new ControlError('invalid', (error as Error).message, {
        field,
        hint: 'copy the invite whole',
      });
    }
  };

  const known = (who: string): string | undefined =>
    petnameHolder(who) ?? (parsePeerId(who) === undefined ? pins.get(who)?.peer : who);

  const withPapers = async (found: Found): Promise<Found> => {
    const { card, certificate } = await store.call('papers.get', { peer: found.peerId });
    const now = nowMs();
    return {
      ...found,
      card: found.card ?? (card === null ? null : await openCard(card, { nowMs: now }).catch(() => null)),
      certificate:
        found.certificate ??
        (certificate === null
          ? null
          : await verifyCertificate(certificate, { nowMs: now }).catch(() => null)),
    };
  };

  return {
    askPhonebooks,
    known,

    async resolve(who, { signal, field = 'who' }) {
      const here = known(who);
      if (here !== undefined) return here;
      if (isInvite(who)) return readInvite(who, field);
      const found = await byName(normalised(who, field), signal, field);
      if (found.warning !== null) {
        throw new ControlError('conflict', found.warning, {
          field,
          hint: 'ask them by another way, then add the right peer id under a petname',
        });
      }
      return found.peerId;
    },

    async lookup(who, { signal }) {
      if (isInvite(who)) return withPapers(blank(await readInvite(who, 'who'), 'invite'));
      const peerId = petnameHolder(who) ?? (parsePeerId(who) === undefined ? undefined : who);
      if (peerId === undefined) return withPapers(await byName(normalised(who, 'who'), signal, 'who'));
      const found = await askPhonebooks({ peerId }, { signal });
      if (found !== undefined) return withPapers(await fromPhonebook(found));
      const source = contacts.some(({ peer }) => peer === peerId) ? 'contact' : 'peer-id';
      return withPapers(blank(peerId, source));
    },

    async mailboxesOf(peerId, { signal }) {
      const now = nowMs();
      const { card } = await store.call('papers.get', { peer: peerId });
      const opened = card === null ? null : await openCard(card, { nowMs: now }).catch(() => null);
      if (opened !== null && opened.mailboxes.length > 0) return opened.mailboxes;
      const found = await askPhonebooks({ peerId }, { signal });
      if (found?.contactCard) return found.contactCard.mailboxes;
      const record = await dht.lookupCard(peerId, { signal: limit(signal) });
      if (record !== undefined) {
        await store.call('papers.put', { peer: peerId, card: record.bytes, certificate: null });
        return record.card.mailboxes;
      }
      // Nothing says where: our own bootstrap nodes are the likeliest place that they look at, too.
      return links()
        .filter(({ status }) => status.state === 'connected')
        .map(({ peerId: mailbox, address }) => ({
          peerId: mailbox.toString(),
          multiaddrs: [multiaddr(address).decapsulateCode(P2P_CODE).toString()],
        }));
    },

    async learn(peerId, { card, certificate }) {
      const now = nowMs();
      const keep: { card: Uint8Array | null; certificate: Uint8Array | null } = {
        card: null,
        certificate: null,
      };
      if (card.byteLength > 0) {
        const opened = await openCard(card, { nowMs: now });
        if (opened.peerId === peerId) keep.card = card;
      }
      if (certificate.byteLength > 0) {
        const verified = await verifyCertificate(certificate, { nowMs: now });
        // A certificate of a phonebook we have not chosen proves a name only there.
        const ours = links().some(({ peerId: phonebook }) => phonebook.toString() === verified.phonebook);
        if (verified.owner === peerId && ours) {
          keep.certificate = certificate;
          await pin(verified, certificate);
        }
      }
      if (keep.card !== null || keep.certificate !== null)
        await store.call('papers.put', { peer: peerId, ...keep });
    },

    nameOf: (peerId) => petnames.get(peerId) ?? names.get(peerId) ?? null,

    certifiedName: (peerId) => names.get(peerId) ?? null,

    get contacts() {
      return contacts;
    },

    async addContact(peerId, petname) {
      if (!(await store.call('contacts.add', { peer: peerId, petname, nowMs: nowMs() }))) {
        throw new ControlError('conflict', `another contact has the petname ${petname}`, {
          field: 'petname',
          hint: 'choose another one with --as',
        });
      }
      await readContacts();
    },

    async removeContact(peerId) {
      if (!(await store.call('contacts.remove', { peer: peerId }))) {
        throw new ControlError('not-found', 'there is no such contact', {
          field: 'who',
          hint: 'see "tincan contacts"',
        });
      }
      await readContacts();
    },
  };
}

/** The multicodec of /p2p/. */
const P2P_CODE = 421;
