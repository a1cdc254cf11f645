import { CODE_P2P } from '@multiformats/multiaddr';
import { ControlError } from '../protocols/control/errors.ts';
import { openCard } from '../protocols/contact-card/card.ts';
import type { ContactCard, MailboxAddress } from '../protocols/contact-card/card.ts';
import { verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import type { ResolvedPeer } from '../protocols/phonebook/client.ts';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import type { ResolveKey } from '../protocols/phonebook/protocol.ts';
import type { DhtRecords } from './dht-records.ts';
import { isInvite, parseInvite } from './invite.ts';
import { parsePeerId } from './peer-ids.ts';
import { peoplePapers } from './people-papers.ts';
import { askAll, contradiction, nobody } from './phonebooks.ts';
import type { LookupLink, PhonebookAnswers } from './phonebooks.ts';
import { pinnedNames } from './pinned-names.ts';
import type { NodeStore } from './store/operations.ts';
import type { ContactRow } from './store/people.ts';

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
}

export interface ResolveOptions {
  signal: AbortSignal;
  /** What the request calls it, for errors. Default: `who`. */
  field?: string;
}

/** Who is meant by what a person types, and what is known of them. */
export interface Directory {
  /**
   * The peer id behind a petname, peer id, name or invite, in this order, from what is known here; asks others only for a
   * new name. A name that is known never leads to somebody else.
   *
   * @throws ControlError `invalid`, `not-found`, `unavailable` when a phonebook could not say, `conflict` when the name is
   *   not one person's
   */
  resolve(who: string, options: ResolveOptions): Promise<string>;
  /** As `resolve`, for what needs no asking; undefined for what does. */
  known(who: string): string | undefined;
  /** All there is to know about somebody, asked afresh. @throws ControlError as `resolve`, but warns where that refuses */
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
  /** @throws ControlError `invalid` or `conflict` for a petname that can't be had */
  addContact(peerId: string, petname: string | null): Promise<void>;
  /** @throws ControlError `not-found` */
  removeContact(peerId: string): Promise<void>;
}

export interface DirectoryInit {
  store: NodeStore;
  links: () => readonly LookupLink[];
  dht: Pick<DhtRecords, 'lookupName' | 'lookupCard'>;
  nowMs: () => number;
  /** A phonebook's answer or an invite held addresses. */
  onAddresses: (peerId: string, multiaddrs: string[]) => Promise<void>;
  onWarning: (message: string) => void;
}

/** What would be taken for something else, or write over a terminal, is no petname. @throws ControlError `invalid` */
function checkPetname(petname: string): void {
  const refuse = (message: string): never => {
    throw new ControlError('invalid', message, { field: 'petname', hint: 'choose another one with --as' });
  };
  if (petname.trim() !== petname || petname === '')
    refuse('a petname begins and ends with something visible');
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(petname)) refuse('a petname has no control characters');
  if (parsePeerId(petname) !== undefined) refuse('a peer id is no petname');
  if (isInvite(petname)) refuse('an invite is no petname');
}

function normalised(who: string, field: string): string {
  try {
    return normaliseName(who);
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw new ControlError('invalid', error.message, { field, hint: error.hint });
  }
}

export async function directory(init: DirectoryInit): Promise<Directory> {
  const { store, links, dht, nowMs } = init;
  let contacts: ContactRow[] = [];
  let petnames = new Map<string, string>();
  let holders = new Map<string, string>();
  const readContacts = async (): Promise<void> => {
    contacts = await store.call('contacts.list', undefined);
    const named = contacts.flatMap(({ peer, petname }) =>
      petname === null ? [] : [[peer, petname] as const],
    );
    petnames = new Map(named);
    holders = new Map(named.map(([peer, petname]) => [petname, peer]));
  };
  await readContacts();
  const pins = await pinnedNames(store, { nowMs: nowMs() });
  const isContact = (peerId: string): boolean => contacts.some(({ peer }) => peer === peerId);
  const papers = peoplePapers({ store, nowMs, isContact });

  const limit = (signal: AbortSignal): AbortSignal =>
    AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_TIMEOUT_MS)]);

  const connectedLinks = (): LookupLink[] => links().filter(({ status }) => status.state === 'connected');

  const pin = async (
    certificate: NameCertificate,
    bytes: Uint8Array,
    options: { asked: boolean },
  ): Promise<string | null> => {
    const warning = await pins.pin(certificate, bytes, options);
    if (warning !== null) init.onWarning(warning);
    return warning;
  };

  const ask = async (key: ResolveKey, signal: AbortSignal): Promise<PhonebookAnswers> => {
    const answers = await askAll(key, { links: links(), onLie: init.onWarning, signal });
    for (const { peerId, multiaddrs, contactCard, contactCardBytes } of answers.found) {
      if (multiaddrs.length > 0) await init.onAddresses(peerId, multiaddrs);
      if (contactCard !== null && contactCardBytes !== null)
        await papers.keepCard(peerId, contactCard, contactCardBytes);
    }
    return answers;
  };

  const blank = (peerId: string, source: Found['source']): Found => ({
    peerId,
    name: pins.nameOf(peerId) ?? null,
    certificate: null,
    card: null,
    multiaddrs: [],
    online: false,
    lastSeenMs: null,
    source,
    warning: null,
  });

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
        : await pin(found.certificate, found.certificateBytes, { asked: true }),
  });

  const byName = async (name: string, signal: AbortSignal, field: string): Promise<Found> => {
    const { found, trouble } = await ask({ name }, signal);
    const pinned = pins.ownerOf(name);
    const contradicted = contradiction(name, found);
    if (contradicted !== null && pinned === undefined) {
      // Nothing is pinned: the user has to say which of them is meant.
      init.onWarning(contradicted);
      return { ...blank(found[0]!.peerId, 'phonebook'), name, warning: contradicted };
    }
    const changed = found.find(({ peerId }) => pinned !== undefined && peerId !== pinned);
    const answer = changed ?? found[0];
    if (answer !== undefined) return fromPhonebook(answer);
    for (const { peerId: phonebook } of links()) {
      const record = await dht.lookupName(phonebook.toString(), name, { signal: limit(signal) });
      if (record === undefined) continue;
      const { certificate, bytes } = record;
      if (certificate.name !== name || certificate.phonebook !== phonebook.toString()) continue;
      const warning = await pin(certificate, bytes, { asked: true });
      return { ...blank(certificate.owner, 'dht'), name, certificate, warning };
    }
    if (pinned !== undefined) return { ...blank(pinned, 'contact'), name };
    throw nobody(name, { trouble, inReach: connectedLinks().length > 0, field });
  };

  const readInvite = async (who: string, field: string): Promise<string> => {
    let invite;
    try {
      invite = parseInvite(who);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new ControlError('invalid', error.message, { field, hint: 'copy the invite whole' });
    }
    await init.onAddresses(invite.peerId, invite.multiaddrs);
    return invite.peerId;
  };

  const petnameOrPeerId = (who: string): string | undefined =>
    holders.get(who) ?? (parsePeerId(who) === undefined ? undefined : who);

  const known = (who: string): string | undefined => petnameOrPeerId(who) ?? pins.ownerOf(who);

  const withPapers = async (found: Found): Promise<Found> => {
    const { card, certificate } = await papers.of(found.peerId);
    return { ...found, card: found.card ?? card, certificate: found.certificate ?? certificate };
  };

  const askPhonebooks: Directory['askPhonebooks'] = async (key, { signal }) =>
    (await ask(key, signal)).found[0];

  return {
    askPhonebooks,
    known,

    async resolve(who, { signal, field = 'who' }) {
      const here = known(who);
      if (here !== undefined) return here;
      if (isInvite(who)) return readInvite(who, field);
      const name = normalised(who, field);
      const pinned = pins.ownerOf(name);
      if (pinned !== undefined) return pinned;
      const found = await byName(name, signal, field);
      if (found.warning !== null) {
        throw new ControlError('conflict', found.warning, {
          field,
          hint: 'ask them by another way, then add the right peer id under a petname',
        });
      }
      return found.peerId;
    },

    async lookup(who, { signal }) {
      const peerId = petnameOrPeerId(who);
      if (peerId === undefined && isInvite(who))
        return withPapers(blank(await readInvite(who, 'who'), 'invite'));
      if (peerId === undefined) return withPapers(await byName(normalised(who, 'who'), signal, 'who'));
      const found = await askPhonebooks({ peerId }, { signal });
      if (found !== undefined) return withPapers(await fromPhonebook(found));
      return withPapers(blank(peerId, isContact(peerId) ? 'contact' : 'peer-id'));
    },

    async mailboxesOf(peerId, { signal }) {
      const { card } = await papers.of(peerId);
      if (card !== null && card.mailboxes.length > 0) return card.mailboxes;
      const found = await askPhonebooks({ peerId }, { signal });
      if (found?.contactCard && found.contactCard.mailboxes.length > 0) return found.contactCard.mailboxes;
      const record = await dht.lookupCard(peerId, { signal: limit(signal) });
      if (record?.card.peerId === peerId) {
        await papers.keepCard(peerId, record.card, record.bytes);
        return record.card.mailboxes;
      }
      // They say themselves that they have none: what we left elsewhere, nobody would collect.
      if (card !== null || found?.contactCard) return [];
      // Nothing says where: our own bootstrap nodes are the likeliest place that they look at, too.
      return connectedLinks().map(({ peerId: mailbox, address }) => ({
        peerId: mailbox.toString(),
        multiaddrs: [address.decapsulateCode(CODE_P2P).toString()],
      }));
    },

    async learn(peerId, { card, certificate }) {
      const now = { nowMs: nowMs() };
      const opened = card.byteLength === 0 ? null : await openCard(card, now).catch(() => null);
      const verified =
        certificate.byteLength === 0 ? null : await verifyCertificate(certificate, now).catch(() => null);
      // A certificate of a phonebook we have not chosen proves a name only there.
      const ours = links().some(({ peerId: phonebook }) => phonebook.toString() === verified?.phonebook);
      const proved = verified?.owner === peerId && ours ? verified : null;
      if (proved !== null) await pin(proved, certificate, { asked: isContact(peerId) });
      await papers.keep(peerId, {
        card: opened?.peerId === peerId ? card : null,
        certificate: proved === null ? null : certificate,
      });
    },

    nameOf: (peerId) => petnames.get(peerId) ?? pins.nameOf(peerId) ?? null,

    certifiedName: (peerId) => pins.nameOf(peerId) ?? null,

    get contacts() {
      return contacts;
    },

    async addContact(peerId, petname) {
      if (petname !== null) checkPetname(petname);
      if (!(await store.call('contacts.add', { peer: peerId, petname, nowMs: nowMs() }))) {
        throw new ControlError('conflict', `another contact has the petname ${petname}`, {
          field: 'petname',
          hint: 'choose another one with --as',
        });
      }
      await readContacts();
      await papers.met(peerId);
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
