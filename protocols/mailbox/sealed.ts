import { hash } from 'node:crypto';
import { PREKEY_ID_BYTES } from './prekey-frames.ts';
import { MAX_BLOB_BYTES } from './protocol.ts';

/*
 * The layout of sealed blobs, and every text that keys and signatures of a session are bound to. What is done with keys is
 * the node's business. The README's section "Sealed blobs" is the specification.
 */

/** First byte of a blob. What begins with another is not sealed in a way known here. */
const VERSION = 1;

const IN_SESSION = 0;
const WITH_OPENING = 1;

export const SESSION_ID_BYTES = 16;

/** Of ChaCha20-Poly1305 (RFC 8439). Random: each key is used once, except by a sender restored from a backup. */
export const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** An X-Wing ciphertext: ML-KEM-768's (1,088) and X25519's (32). */
export const KEM_CIPHERTEXT_BYTES = 1120;

/** The bytes of an Ed25519 peer id: the only kind of identity that seals. */
export const SEALED_PEER_ID_BYTES = 38;
const PEER_ID_START = Buffer.from('002408011220', 'hex');

const SIGNATURE_BYTES = 64;
const LENGTH_BYTES = 4;

const HEADER_BYTES = 2 + SESSION_ID_BYTES + 2 + NONCE_BYTES;
const OPENING_HEADER_BYTES = HEADER_BYTES + PREKEY_ID_BYTES + KEM_CIPHERTEXT_BYTES;
const OPENING_BODY_BYTES = SEALED_PEER_ID_BYTES + SIGNATURE_BYTES;

/** What hashes, keys and signatures of sessions are for, so that none can be taken for another. */
const SESSION_ID_CONTEXT = Buffer.from('tincan-mailbox-session-id-v1:');
const INFO_CONTEXT = Buffer.from('tincan-mailbox-session-v1:');
const OPENING_CONTEXT = Buffer.from('tincan-mailbox-opening-v1:');

/** HPKE's exporter context of a session's first chain key. */
export const CHAIN_EXPORT_CONTEXT = Buffer.from('tincan-mailbox-chain-v1:');

/** HKDF's `info` of each step of the chain. */
export const CHAIN_STEP_INFO = Buffer.from('tincan-mailbox-step-v1:');

/** Keys of blobs that one step of the chain gives. HKDF for each blob would cost as much as its encryption. */
export const KEYS_PER_STEP = 8;

/** Sizes a blob can have: of what is in it, only the class shows. */
export const PADDED_BYTES = [1, 4, 16, 64, 256].map((kibibytes) => kibibytes * 1024);

/** What fits into the largest blob that carries an opening, in bytes. */
export const MAX_SEALED_CONTENT_BYTES =
  MAX_BLOB_BYTES - OPENING_HEADER_BYTES - OPENING_BODY_BYTES - LENGTH_BYTES - TAG_BYTES;

/**
 * Blobs in one session at the most. Senders renew at 200; the rest is for when no prekey is to be had. It bounds the keys a
 * recipient derives and keeps for blobs that were skipped.
 */
export const MAX_SESSION_BLOBS = 512;

/**
 * - `malformed`: not a sealed blob of this version, or a value in it is out of range
 * - `unknown-session`: it carries no opening, and its session is not known here
 * - `unknown-prekey`: it carries an opening to a prekey whose secret is not here: used up, deleted, never ours
 * - `used-key`: a blob with this number has been opened before; most often it is that blob again
 * - `forged`: changed on its way, or not sealed with this session
 * - `bad-signature`: the opening is not signed by the sender it names, for this recipient and prekey
 */
export type SealedErrorCode =
  | 'malformed'
  | 'unknown-session'
  | 'unknown-prekey'
  | 'used-key'
  | 'forged'
  | 'bad-signature';

/** A sealed blob that does not open. Nothing has been changed. */
export class SealedError extends Error {
  override name = 'SealedError';
  readonly code: SealedErrorCode;

  constructor(message: string, code: SealedErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** Whether the sender can help by sealing the same again in a new session: it has to be told. */
  get needsResealing(): boolean {
    return this.code === 'unknown-session' || this.code === 'unknown-prekey';
  }
}

/** The part of an opening that travels in the clear. */
export interface OpeningHeader {
  prekeyId: Uint8Array;
  kemCiphertext: Uint8Array;
}

/** The part of an opening that is encrypted: who opened the session, and its signature (`openingText`). */
export interface OpeningBody {
  /** Peer id bytes of an Ed25519 identity. */
  sender: Uint8Array;
  signature: Uint8Array;
}

export interface SealedHeader {
  sessionId: Uint8Array;
  /** The number of the blob in its session, from 0. */
  counter: number;
  nonce: Uint8Array;
  opening?: OpeningHeader;
}

/** A sealed blob taken apart. The parts are views of it. */
export interface SealedBlob extends SealedHeader {
  /** Everything before the ciphertext: what is authenticated with it. */
  headerBytes: Uint8Array;
  ciphertext: Uint8Array;
  tag: Uint8Array;
}

/** What is encrypted in a blob. */
export interface SealedBody {
  opening?: OpeningBody;
  content: Uint8Array;
}

/**
 * Takes a blob apart. Nothing in it is authenticated yet.
 *
 * @throws SealedError `malformed`
 */
export function readSealed(blob: Uint8Array): SealedBlob {
  if (blob[0] !== VERSION) throw malformed('not of a version known here');
  if (!PADDED_BYTES.includes(blob.byteLength)) throw malformed(`${blob.byteLength} bytes are no class`);
  if (blob[1] !== IN_SESSION && blob[1] !== WITH_OPENING) throw malformed('of a kind not known here');
  const headerBytes = blob[1] === WITH_OPENING ? OPENING_HEADER_BYTES : HEADER_BYTES;
  if (headerBytes > blob.byteLength) throw malformed('too short for an opening');
  const counter = (blob[18]! << 8) | blob[19]!;
  if (counter >= MAX_SESSION_BLOBS) throw malformed(`blob ${counter} of a session`);
  const read: SealedBlob = {
    sessionId: blob.subarray(2, 18),
    counter,
    nonce: blob.subarray(20, HEADER_BYTES),
    headerBytes: blob.subarray(0, headerBytes),
    ciphertext: blob.subarray(headerBytes, -TAG_BYTES),
    tag: blob.subarray(-TAG_BYTES),
  };
  if (blob[1] === WITH_OPENING) {
    read.opening = {
      prekeyId: blob.subarray(HEADER_BYTES, HEADER_BYTES + PREKEY_ID_BYTES),
      kemCiphertext: blob.subarray(HEADER_BYTES + PREKEY_ID_BYTES, OPENING_HEADER_BYTES),
    };
    // So nobody can take the id of another's session, and garbage is found out before it costs a decapsulation.
    if (!sessionIdOf(read.opening).equals(read.sessionId))
      throw malformed('session_id is not that of the opening');
  }
  return read;
}

/**
 * A blob of the smallest class that holds the content, with header and body written and the ciphertext still plain.
 *
 * @returns the blob, the views of it that are to be encrypted and to hold the tag
 * @throws RangeError when the content is over `MAX_SEALED_CONTENT_BYTES`
 */
export function layOutSealed(
  { sessionId, counter, nonce, opening }: SealedHeader,
  body: SealedBody,
): { blob: Buffer; headerBytes: Buffer; plaintext: Buffer; tag: Buffer } {
  const headerBytes = opening === undefined ? HEADER_BYTES : OPENING_HEADER_BYTES;
  const openingBytes = body.opening === undefined ? 0 : OPENING_BODY_BYTES;
  const { content } = body;
  const needed = headerBytes + openingBytes + LENGTH_BYTES + content.byteLength + TAG_BYTES;
  const size = PADDED_BYTES.find((each) => each >= needed);
  if (size === undefined) throw new RangeError(`${content.byteLength} bytes do not fit into a sealed blob`);
  const blob = Buffer.alloc(size);
  blob[0] = VERSION;
  blob[1] = opening === undefined ? IN_SESSION : WITH_OPENING;
  blob.set(sessionId, 2);
  blob.writeUInt16BE(counter, 18);
  blob.set(nonce, 20);
  if (opening !== undefined) {
    blob.set(opening.prekeyId, HEADER_BYTES);
    blob.set(opening.kemCiphertext, HEADER_BYTES + PREKEY_ID_BYTES);
  }
  if (body.opening !== undefined) {
    blob.set(body.opening.sender, headerBytes);
    blob.set(body.opening.signature, headerBytes + SEALED_PEER_ID_BYTES);
  }
  blob.writeUInt32BE(content.byteLength, headerBytes + openingBytes);
  blob.set(content, headerBytes + openingBytes + LENGTH_BYTES);
  return {
    blob,
    headerBytes: blob.subarray(0, headerBytes),
    plaintext: blob.subarray(headerBytes, -TAG_BYTES),
    tag: blob.subarray(-TAG_BYTES),
  };
}

/**
 * Reads what was encrypted. The parts are views of it.
 *
 * @throws SealedError `malformed`: the sender sealed something that is none
 */
export function readSealedBody(plaintext: Buffer, withOpening: boolean): SealedBody {
  const start = withOpening ? OPENING_BODY_BYTES : 0;
  if (plaintext.byteLength < start + LENGTH_BYTES) throw malformed('too short for its body');
  const end = start + LENGTH_BYTES + plaintext.readUInt32BE(start);
  if (end > plaintext.byteLength) throw malformed('its content is longer than the blob');
  const content = plaintext.subarray(start + LENGTH_BYTES, end);
  if (!withOpening) return { content };
  const sender = plaintext.subarray(0, SEALED_PEER_ID_BYTES);
  if (!isSealingPeer(sender)) throw malformed('sender: not the peer id of an Ed25519 key');
  return { content, opening: { sender, signature: plaintext.subarray(SEALED_PEER_ID_BYTES, start) } };
}

/** Whether bytes are the peer id of an Ed25519 identity. */
export function isSealingPeer(peerId: Uint8Array): boolean {
  return (
    peerId.byteLength === SEALED_PEER_ID_BYTES &&
    PEER_ID_START.equals(peerId.subarray(0, PEER_ID_START.length))
  );
}

/** The id of the session that an opening opens. As random as the ciphertext that it follows from. */
export function sessionIdOf({ prekeyId, kemCiphertext }: OpeningHeader): Buffer {
  const text = Buffer.concat([SESSION_ID_CONTEXT, prekeyId, kemCiphertext]);
  return hash('sha256', text, 'buffer').subarray(0, SESSION_ID_BYTES);
}

/** HPKE's `info` of a session: a secret for one recipient and prekey is none for another. */
export function sessionInfo(recipient: Uint8Array, prekeyId: Uint8Array): Buffer {
  return Buffer.concat([INFO_CONTEXT, recipient, prekeyId]);
}

/** What the sender's identity signs when it opens a session. Every part has a fixed length. */
export function openingText(init: {
  sender: Uint8Array;
  recipient: Uint8Array;
  prekeyPublicKey: Uint8Array;
  sessionId: Uint8Array;
  header: OpeningHeader;
}): Buffer {
  const { sender, recipient, prekeyPublicKey, sessionId, header } = init;
  return Buffer.concat([
    OPENING_CONTEXT,
    Uint8Array.of(VERSION),
    sender,
    recipient,
    sessionId,
    header.prekeyId,
    prekeyPublicKey,
    header.kemCiphertext,
  ]);
}

function malformed(what: string): SealedError {
  return new SealedError(`the sealed blob is malformed: ${what}`, 'malformed');
}
