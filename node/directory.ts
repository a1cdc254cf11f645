import { CODE_P2P } from '@multiformats/multiaddr';
import { ControlError } from '../protocols/control/errors.ts';
import { openCard } from '../protocols/contact-card/card.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { verifyCertificate } from '../protocols/phonebook/certificate.ts';
import type { ResolvedPeer } from '../protocols/phonebook/client.ts';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import type { ResolveKey } from '../protocols/phonebook/protocol.ts';
import type { DhtRecords } from './dht-records.ts';
import { isInvite, parseInvite } from './invite.ts';
import { inTime, lookups } from './lookups.ts';
import type { Found } from './lookups.ts';
import { parsePeerId } from './peer-ids.ts';
import { peoplePapers } from './people-papers.ts';
import { checkPetname, readAs } from './petnames.ts';
import type { LookupLink } from './phonebooks.ts';
import { describeChange, pinnedNames } from './pinned-names.ts';
import type { KeyChange } from './pinned-names.ts';
import type { NodeStore } from './store/operations.ts';
import type { ContactRow } from './store/people.ts';
import { verifications } from './verification.ts';

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
  /**
   * As `resolve`, for something to be sent there. Petnames and peer ids lead to the key that the user chose with them.
   *
   * @throws ControlError as `resolve`, and `conflict` for a name whose key has changed, until the user has decided
   */
  recipient(who: string, options: ResolveOptions): Promise<string>;
  /** As `recipient`, for what needs no asking; undefined for what does, and for what is refused. */
  knownRecipient(who: string): string | undefined;
  /**
   * All there is to know about somebody, asked afresh. A name that is pinned leads to whom it is pinned to, whatever a
   * phonebook says; that comes as a warning.
   *
   * @throws ControlError as `resolve`, but warns where that refuses
   */
  lookup(who: string, options: { signal: AbortSignal }): Promise<Found>;
  /** Asks every phonebook in reach; the first good answer. Undefined when none knows. */
  askPhonebooks(key: ResolveKey, options: { signal: AbortSignal }): Promise<ResolvedPeer | undefined>;
  /** Where messages can be left for a peer. */
  mailboxesOf(peerId: string, options: { signal: AbortSignal }): Promise<MailboxAddress[]>;
  /** Keeps a card or certificate that a peer handed over, if it proves itself. */
  learn(peerId: string, papers: { card: Uint8Array; certificate: Uint8Array }): Promise<void>;
  /** What a peer is called here: its petname, else its name. */
  nameOf(peerId: string): string | null;
  /** The name a phonebook certified for a peer, pinned here; null where another contact has it for a petname. */
  certifiedName(peerId: string): string | null;
  /** Changes of keys that the user has not decided. */
  readonly changes: readonly KeyChange[];
  /** The change that a petname, name or peer id has to do with: as the known or as the claimed key. */
  changeOf(who: string): KeyChange | undefined;
  /** Whether sending to what is written so is refused. */
  isBlocked(who: string): boolean;
  /**
   * Stays with the known key, or takes the new one: then a contact with the known key becomes one with the new.
   *
   * @throws ControlError `conflict` when it has been decided meanwhile
   */
  decide(change: KeyChange, decision: 'keep' | 'accept'): Promise<void>;
  /** When the user marked a key as verified; null when they did not. */
  verifiedMs(peerId: string): number | null;
  /** Marks a key as verified, or takes the mark back. */
  setVerified(peerId: string, verified: boolean): Promise<void>;
  readonly contacts: readonly ContactRow[];
  /** @throws ControlError `invalid` or `conflict` for a petname that can't be had */
  addContact(peerId: string, petname: string | null): Promise<void>;
  /** Somebody has become a contact by another way. */
  contactAdded(peerId: string): Promise<void>;
  /** @throws ControlError `not-found` */
  removeContact(peerId: string): Promise<void>;
}

export interface DirectoryInit {
  store: NodeStore;
  links: () => readonly LookupLink[];
  dht: Pick<DhtRecords, 'lookupName' | 'lookupCard'>;
  nowMs: () => number;
  /** Makes a contact of somebody; false when the petname is another's. Default: does that and no more. */
  accept?: (peerId: string, petname: string | null) => Promise<boolean>;
  /** Whether the user has blocked somebody. Default: nobody is. */
  isShutOut?: (peerId: string) => boolean;
  /** A phonebook's answer or an invite held addresses. */
  onAddresses: (peerId: string, multiaddrs: string[]) => Promise<void>;
  onWarning: (message: string) => void;
  /** A name has come to stand for another key; until the user decides, it is in `changes`. */
  onKeyChange: (change: KeyChange, message: string) => void;
}

function normalised(who: string, field: string): string {
  try {
    return normaliseName(who);
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw new ControlError('invalid', error.message, { field, hint: error.hint });
  }
}

/** Why nothing is sent to a name, with both fingerprints. */
function undecided(change: KeyChange, field: string): ControlError {
  const { name, known, claimed } = change;
  return new ControlError(
    'conflict',
    `nothing is sent to ${name}: its key has changed from ${known} to ${claimed}`,
    {
      field,
      hint: `ask them by another way, then run: tincan trust ${name}; the peer id or a petname still leads to the known key`,
    },
  );
}

export async function directory(init: DirectoryInit): Promise<Directory> {
  const { store, links, dht, nowMs, isShutOut = () => false } = init;
  const accept =
    init.accept ??
    ((peer: string, petname: string | null) => store.call('contacts.add', { peer, petname, nowMs: nowMs() }));
  let contacts: ContactRow[] = [];
  let petnames = new Map<string, string>();
  let holders = new Map<string, string>();
  /** Who has what reads like a petname. */
  let readers = new Map<string, string>();
  const readContacts = async (): Promise<void> => {
    contacts = await store.call('contacts.list', undefined);
    const named = contacts.flatMap(({ peer, petname }) =>
      petname === null ? [] : [[peer, petname] as const],
    );
    petnames = new Map(named);
    holders = new Map(named.map(([peer, petname]) => [petname, peer]));
    readers = new Map(named.map(([peer, petname]) => [readAs(petname), peer]));
  };
  await readContacts();
  const pins = await pinnedNames(store, { nowMs: nowMs() });
  const marks = await verifications(store);
  const isContact = (peerId: string): boolean => contacts.some(({ peer }) => peer === peerId);
  const papers = peoplePapers({ store, nowMs, isContact });

  /** A name is shown only where it stands for that peer, and nobody could take it for a contact's petname. */
  const shownName = (name: string | undefined, peerId: string): string | null =>
    name !== undefined && pins.ownerOf(name) === peerId && (readers.get(readAs(name)) ?? peerId) === peerId
      ? name
      : null;

  const certifiedName = (peerId: string): string | null => shownName(pins.nameOf(peerId), peerId);

  const { ask, blank, byName, byPeerId, pin } = lookups({ ...init, pins, papers, shownName });

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

  /** As sending has it: what is not a petname and no peer id is a name, in whatever form. */
  const changeBehind = (who: string): KeyChange | undefined => {
    if (pins.changes.length === 0 || petnameOrPeerId(who) !== undefined) return undefined;
    try {
      return pins.changeOf(normaliseName(who));
    } catch {
      return undefined;
    }
  };

  const changeOf = (who: string): KeyChange | undefined => {
    const named = changeBehind(who);
    if (named !== undefined) return named;
    const peerId = petnameOrPeerId(who);
    return pins.changes.find(({ known, claimed }) => peerId === known || peerId === claimed);
  };

  const completed = async (found: Found, who: string): Promise<Found> => {
    const { card, certificate } = await papers.of(found.peerId);
    const own = certificate !== null && pins.ownerOf(certificate.name) === found.peerId ? certificate : null;
    const change = changeOf(who) ?? changeOf(found.peerId) ?? null;
    return {
      ...found,
      card: found.card ?? card,
      certificate: found.certificate ?? own,
      change,
      blocked: found.blocked || changeBehind(who) !== undefined,
      warning: found.warning ?? (change === null ? null : describeChange(change)),
    };
  };

  const askPhonebooks: Directory['askPhonebooks'] = async (key, { signal }) =>
    (await ask(key, { signal })).found[0];

  const resolve: Directory['resolve'] = async (who, { signal, field = 'who' }) => {
    const here = known(who);
    if (here !== undefined) return here;
    if (isInvite(who)) return readInvite(who, field);
    const name = normalised(who, field);
    const pinned = pins.ownerOf(name);
    if (pinned !== undefined) return pinned;
    const found = await byName(name, { signal, field });
    if (found.warning !== null) {
      throw new ControlError('conflict', found.warning, {
        field,
        hint: 'ask them by another way, then add the right peer id under a petname',
      });
    }
    return found.peerId;
  };

  const self: Directory = {
    askPhonebooks,
    known,
    resolve,

    async recipient(who, options) {
      const change = changeBehind(who);
      if (change !== undefined) throw undecided(change, options.field ?? 'who');
      const peerId = await resolve(who, options);
      if (isShutOut(peerId)) {
        throw new ControlError('conflict', `you have blocked ${who}`, {
          field: options.field ?? 'who',
          hint: `to take it back: tincan unblock ${who}`,
        });
      }
      return peerId;
    },

    knownRecipient(who) {
      const peerId = changeBehind(who) === undefined ? known(who) : undefined;
      return peerId === undefined || isShutOut(peerId) ? undefined : peerId;
    },

    async lookup(who, { signal }) {
      const peerId = petnameOrPeerId(who);
      if (peerId === undefined && isInvite(who))
        return completed(blank(await readInvite(who, 'who'), 'invite'), who);
      if (peerId === undefined)
        return completed(await byName(normalised(who, 'who'), { signal, field: 'who' }), who);
      const found = await byPeerId(peerId, { signal });
      return completed(found ?? blank(peerId, isContact(peerId) ? 'contact' : 'peer-id'), who);
    },

    async mailboxesOf(peerId, { signal }) {
      const { card } = await papers.of(peerId);
      if (card !== null && card.mailboxes.length > 0) return card.mailboxes;
      const found = await askPhonebooks({ peerId }, { signal });
      if (found?.contactCard && found.contactCard.mailboxes.length > 0) return found.contactCard.mailboxes;
      const record = await dht.lookupCard(peerId, { signal: inTime(signal) });
      if (record?.card.peerId === peerId) {
        await papers.keepCard(peerId, record.card, record.bytes);
        return record.card.mailboxes;
      }
      // They say themselves that they have none: what we left elsewhere, nobody would collect.
      if (card !== null || found?.contactCard) return [];
      // Nothing says where: our own bootstrap nodes are the likeliest place that they look at, too.
      return links()
        .filter(({ status }) => status.state === 'connected')
        .map(({ peerId: mailbox, address }) => ({
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

    nameOf: (peerId) => petnames.get(peerId) ?? certifiedName(peerId),

    certifiedName,

    get contacts() {
      return contacts;
    },

    get changes() {
      return pins.changes;
    },

    changeOf,

    isBlocked: (who) => changeBehind(who) !== undefined,

    async decide(change, decision) {
      if (!pins.isOpen(change)) {
        throw new ControlError('conflict', `the key behind ${change.name} has just been decided about`, {
          hint: 'see "tincan whois"',
        });
      }
      if (decision === 'keep') {
        await pins.keep(change);
        return;
      }
      const { known: before, claimed } = change;
      const now = { nowMs: nowMs() };
      // Asked for in one turn, so in one transaction.
      const accepted = pins.accept(change, now);
      if (isContact(before)) {
        await Promise.all([
          accepted,
          store.call('contacts.remove', { peer: before }),
          store.call('contacts.add', { peer: claimed, petname: petnames.get(before) ?? null, ...now }),
        ]);
      } else await accepted;
      marks.forgotten(before);
      await readContacts();
      await papers.met(claimed);
    },

    verifiedMs: marks.markedMs,

    setVerified: (peerId, verified) => marks.mark(peerId, verified ? nowMs() : null),

    async addContact(peerId, petname) {
      if (petname !== null) checkPetname(petname);
      if (!(await accept(peerId, petname))) {
        throw new ControlError('conflict', `another contact has the petname ${petname}`, {
          field: 'petname',
          hint: 'choose another one with --as',
        });
      }
      await self.contactAdded(peerId);
    },

    async contactAdded(peerId) {
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
  return self;
}
