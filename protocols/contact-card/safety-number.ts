import { createHash } from 'node:crypto';
import { peerIdFromString } from '@libp2p/peer-id';

/**
 * The safety number of two peers: 60 digits that both see the same, and that a phonebook which hands out false keys can't
 * make the same. Specified in README.md, "Safety numbers".
 */
export const SAFETY_NUMBER_VERSION = 1;

/** Tells these hashes from everything else that is made of a public key. */
const DOMAIN = Buffer.from(`tincan-safety-number:${SAFETY_NUMBER_VERSION}\0`);

/**
 * 30 digits are 99.6 bits. Whoever looks for a key with given digits pays for this many hashes a try, which adds 12 bits;
 * it is what Signal takes, and 10 ms here.
 */
const ITERATIONS = 5200;

/** Each group of five digits comes from five bytes: 40 bits, so that no digit is noticeably likelier than another. */
const GROUP_BYTES = 5;
const GROUPS_PER_IDENTITY = 6;
const GROUP_MODULUS = 100_000;

/** An Ed25519 public key in base58, as peer ids have it. */
const PEER_ID_CHARACTERS = 52;

const SCHEME = 'tincan-verify:';

/** The longest code is 121 characters; what is far longer is not looked at. */
const MAX_CODE_CHARACTERS = 400;

export type InvalidSafetyCodeReason = 'malformed' | 'other-version';

/**
 * Text that is no safety number and no code.
 *
 * - `malformed`: neither 60 digits nor a whole code
 * - `other-version`: a code of a version that is not known here
 */
export class InvalidSafetyCodeError extends Error {
  override name = 'InvalidSafetyCodeError';
  readonly code: InvalidSafetyCodeReason;

  constructor(code: InvalidSafetyCodeReason, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a code says: whose screen it is on, and whom it is about. */
export interface SafetyCode {
  shownBy: string;
  about: string;
}

/** The 32 bytes of the key in a peer id. Undefined for what is no peer id of an Ed25519 key in base58. */
function publicKeyOf(peerId: string): Uint8Array | undefined {
  if (peerId.length !== PEER_ID_CHARACTERS) return undefined;
  try {
    const parsed = peerIdFromString(peerId);
    return parsed.type === 'Ed25519' && parsed.toString() === peerId ? parsed.publicKey.raw : undefined;
  } catch {
    return undefined;
  }
}

/** 30 digits for one identity. */
function identityDigits(peerId: string): string {
  const publicKey = publicKeyOf(peerId);
  if (publicKey === undefined) throw new TypeError(`not the peer id of an Ed25519 key: ${peerId}`);
  let digest = createHash('sha512').update(DOMAIN).update(publicKey).digest();
  for (let iteration = 1; iteration < ITERATIONS; iteration++)
    digest = createHash('sha512').update(digest).update(publicKey).digest();
  let digits = '';
  for (let group = 0; group < GROUPS_PER_IDENTITY; group++) {
    const number = digest.readUIntBE(group * GROUP_BYTES, GROUP_BYTES) % GROUP_MODULUS;
    digits += String(number).padStart(GROUP_BYTES, '0');
  }
  return digits;
}

/**
 * The safety number of two peers, in either order: 60 digits, without blanks. Takes about 10 ms.
 *
 * @throws TypeError for what is no peer id of an Ed25519 key, and for the same one twice
 */
export function safetyNumber(one: string, other: string): string {
  if (one === other) throw new TypeError('a safety number is of two peers');
  return [identityDigits(one), identityDigits(other)].sort().join('');
}

/** Digits in groups of five with blanks between, as people read them to each other. */
export function inGroups(digits: string): string {
  return digits.match(/\d{5}/g)?.join(' ') ?? '';
}

/** The text of a QR code: what one peer's screen shows about another. 121 characters. */
export function formatSafetyCode({ shownBy, about }: SafetyCode): string {
  return `${SCHEME}${SAFETY_NUMBER_VERSION}/${shownBy}/${about}`;
}

/**
 * Reads what was scanned, pasted or typed: a code, or the 60 digits with any blanks between.
 *
 * @throws InvalidSafetyCodeError
 */
export function parseSafetyCode(text: string): SafetyCode | { digits: string } {
  if (text.length > MAX_CODE_CHARACTERS) throw malformed();
  const digits = text.replaceAll(/\s/g, '');
  if (/^\d{60}$/.test(digits)) return { digits };
  const [, version, shownBy, about] = /^tincan-verify:(\d{1,4})\/([^/]*)\/([^/]*)$/.exec(text.trim()) ?? [];
  if (version === undefined || shownBy === undefined || about === undefined) throw malformed();
  if (version !== String(SAFETY_NUMBER_VERSION)) {
    throw new InvalidSafetyCodeError(
      'other-version',
      `the code is of version ${version}, this program knows ${SAFETY_NUMBER_VERSION}: update the older one`,
    );
  }
  if (publicKeyOf(shownBy) === undefined || publicKeyOf(about) === undefined || shownBy === about)
    throw malformed();
  return { shownBy, about };
}

function malformed(): InvalidSafetyCodeError {
  return new InvalidSafetyCodeError('malformed', 'that is neither a whole code nor a number of 60 digits');
}
