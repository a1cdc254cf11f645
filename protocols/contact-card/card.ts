import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { PrivateKey, Record as EnvelopeRecord } from '@libp2p/interface';
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id';
import { RecordEnvelope } from '@libp2p/peer-record';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import { CLOCK_TOLERANCE_MS, MAX_LIFETIME_MS } from '../phonebook/lifetimes.ts';
import { normaliseName } from '../phonebook/name.ts';
import '../transport/multiaddr-limits.ts';
import { ContactCardSchema } from './contact-card_pb.ts';
import type { ContactCard as CardMessage } from './contact-card_pb.ts';

/** A card goes into the first frame of a chat and into the DHT: a packet or three. */
export const MAX_CARD_BYTES = 4096;

/** Senders deposit with every mailbox: two are usual, one more while moving. */
export const MAX_MAILBOXES = 4;

/** TCP and QUIC, IPv4 and IPv6, a name, and some room. */
export const MAX_MAILBOX_MULTIADDRS = 8;

/** The longest peer id in base58 has 61 characters. Decoding takes time by the square of the length, so it is looked at first. */
const MAX_PEER_ID_CHARACTERS = 64;

/** A host name has 253 bytes at the most; the rest is ports, peer ids and a relay. Above all as for peer ids. */
const MAX_MULTIADDR_BYTES = 512;

/** In text, a component of two bytes takes up to fourteen characters. */
const MAX_MULTIADDR_CHARACTERS = 8 * MAX_MULTIADDR_BYTES;

/** Tells cards from everything else that the same key signs. */
const DOMAIN = 'tincan-contact-card';

const PAYLOAD_TYPE = Buffer.from('/tincan/contact-card/1');

/** Where messages can be left for a peer. */
export interface MailboxAddress {
  peerId: string;
  /** In text form, without the /p2p/ part of the mailbox. */
  multiaddrs: string[];
}

/** What a peer says of itself, under its own signature. */
export interface ContactCard {
  /** In base58. */
  peerId: string;
  /** The name it goes by, normalised. Only a name certificate proves it. */
  name?: string;
  mailboxes: MailboxAddress[];
  /** Of two cards of a peer, the higher one counts. */
  seq: number;
  expiresMs: number;
}

export type InvalidContactCardCode =
  | 'malformed'
  | 'too-large'
  | 'bad-signature'
  | 'wrong-peer'
  | 'expired'
  | 'not-yet-valid';

/**
 * A contact card that can't be used.
 *
 * - `malformed`: not a card, or one with a value out of range
 * - `too-large`: over one of the limits
 * - `bad-signature`: forged or damaged
 * - `wrong-peer`: signed by somebody else than it speaks of
 * - `expired`
 * - `not-yet-valid`: it expires later than any card of today may, so that its maker's clock or the one here is wrong
 */
export class InvalidContactCardError extends Error {
  override name = 'InvalidContactCardError';
  readonly code: InvalidContactCardCode;

  constructor(code: InvalidContactCardCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Signs a card.
 *
 * @throws InvalidContactCardError when the card is over a limit, malformed, or another peer's than the key's
 */
export async function sealCard(privateKey: PrivateKey, card: ContactCard): Promise<Uint8Array> {
  const message = create(ContactCardSchema, {
    peerId: card.peerId,
    name: card.name ?? '',
    mailboxes: card.mailboxes.map((mailbox) => ({
      peerId: mailbox.peerId,
      multiaddrs: mailbox.multiaddrs.map((address) => readMultiaddr(address).bytes),
    })),
    seq: BigInt(card.seq),
    expiresMs: BigInt(card.expiresMs),
  });
  readCard(message);
  if (card.peerId !== privateKey.publicKey.toString()) throw wrongPeer();
  const payload = toBinary(ContactCardSchema, message);
  const envelope = await RecordEnvelope.seal(envelopeRecord(payload), privateKey);
  const bytes = envelope.marshal();
  if (bytes.byteLength > MAX_CARD_BYTES) throw tooLarge(`${bytes.byteLength} bytes, over ${MAX_CARD_BYTES}`);
  return bytes;
}

/**
 * Reads a card and checks that its peer signed it and that it is valid at `nowMs`.
 *
 * @throws InvalidContactCardError
 */
export async function openCard(bytes: Uint8Array, { nowMs }: { nowMs: number }): Promise<ContactCard> {
  if (bytes.byteLength > MAX_CARD_BYTES) throw tooLarge(`${bytes.byteLength} bytes, over ${MAX_CARD_BYTES}`);
  let envelope: RecordEnvelope;
  let message: CardMessage;
  try {
    envelope = RecordEnvelope.createFromProtobuf(bytes);
    message = fromBinary(ContactCardSchema, envelope.payload);
  } catch (error) {
    throw malformed('it is not a signed envelope with a card in it', error);
  }
  // What is outside the signature must have one form, else anybody could make variants of a card.
  if (!Buffer.from(envelope.marshal()).equals(bytes)) throw malformed('it is not in its shortest form');
  if (!PAYLOAD_TYPE.equals(envelope.payloadType)) throw malformed('the envelope holds something else');
  const card = readCard(message);
  let genuine = false;
  try {
    genuine = await envelope.validate(DOMAIN);
  } catch (error) {
    throw new InvalidContactCardError('bad-signature', 'the signature can not be checked', { cause: error });
  }
  if (!genuine) throw new InvalidContactCardError('bad-signature', 'the signature is not genuine');
  if (peerIdFromPublicKey(envelope.publicKey).toString() !== card.peerId) throw wrongPeer();
  if (card.expiresMs <= nowMs) {
    const when = new Date(card.expiresMs).toISOString();
    throw new InvalidContactCardError('expired', `the contact card expired at ${when}`);
  }
  if (card.expiresMs > nowMs + MAX_LIFETIME_MS + CLOCK_TOLERANCE_MS) {
    throw new InvalidContactCardError(
      'not-yet-valid',
      'the contact card expires later than one made by now can: check the clock of this computer',
    );
  }
  return card;
}

function envelopeRecord(payload: Uint8Array): EnvelopeRecord {
  return {
    domain: DOMAIN,
    codec: PAYLOAD_TYPE,
    marshal: () => payload,
    equals: (other: EnvelopeRecord) =>
      other.domain === DOMAIN && Buffer.from(payload).equals(other.marshal().subarray()),
  };
}

function readCard(message: CardMessage): ContactCard {
  if (message.mailboxes.length > MAX_MAILBOXES) {
    throw tooLarge(`${message.mailboxes.length} mailboxes, over ${MAX_MAILBOXES}`);
  }
  const card: ContactCard = {
    peerId: readPeerId(message.peerId, 'peer_id'),
    mailboxes: message.mailboxes.map(readMailbox),
    seq: readNumber(message.seq, 'seq'),
    expiresMs: readNumber(message.expiresMs, 'expires_ms'),
  };
  if (message.name !== '') card.name = readName(message.name);
  return card;
}

function readMailbox({ peerId, multiaddrs }: CardMessage['mailboxes'][number]): MailboxAddress {
  if (multiaddrs.length > MAX_MAILBOX_MULTIADDRS) {
    throw tooLarge(`a mailbox with ${multiaddrs.length} addresses, over ${MAX_MAILBOX_MULTIADDRS}`);
  }
  return {
    peerId: readPeerId(peerId, 'the peer_id of a mailbox'),
    multiaddrs: multiaddrs.map((bytes) => readMultiaddr(bytes).toString()),
  };
}

function readMultiaddr(address: string | Uint8Array): Multiaddr {
  const longest = typeof address === 'string' ? MAX_MULTIADDR_CHARACTERS : MAX_MULTIADDR_BYTES;
  if (address.length > longest) throw tooLarge('an address of a mailbox');
  let read: Multiaddr;
  let isWhole: boolean;
  try {
    read = multiaddr(address);
    // In bytes, a host name may hold a slash: such an address is another one once it has been written out.
    isWhole = read.equals(multiaddr(read.toString()));
  } catch (error) {
    throw malformed('an address of a mailbox is no multiaddr', error);
  }
  if (!isWhole) throw malformed('an address of a mailbox can not be written out');
  if (read.bytes.byteLength > MAX_MULTIADDR_BYTES) throw tooLarge('an address of a mailbox');
  return read;
}

function readPeerId(text: string, field: string): string {
  if (text.length > MAX_PEER_ID_CHARACTERS) throw malformed(`${field} is no peer id`);
  let canonical: string | undefined;
  try {
    canonical = peerIdFromString(text).toString();
  } catch (error) {
    throw malformed(`${field} is no peer id`, error);
  }
  if (canonical !== text) throw malformed(`${field} is not in base58`);
  return text;
}

function readName(name: string): string {
  let normalised: string | undefined;
  try {
    normalised = normaliseName(name);
  } catch (error) {
    throw malformed((error as Error).message, error);
  }
  if (normalised !== name) throw malformed('the name is not normalised');
  return name;
}

function readNumber(value: bigint, field: string): number {
  if (value < 1n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`${field} is out of range`);
  return Number(value);
}

function malformed(what: string, cause?: unknown): InvalidContactCardError {
  return new InvalidContactCardError('malformed', `the contact card is malformed: ${what}`, { cause });
}

function tooLarge(what: string): InvalidContactCardError {
  return new InvalidContactCardError('too-large', `the contact card is too large: ${what}`);
}

function wrongPeer(): InvalidContactCardError {
  return new InvalidContactCardError('wrong-peer', 'the contact card speaks of another peer than its signer');
}
