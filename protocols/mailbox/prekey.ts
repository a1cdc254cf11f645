import { hash } from 'node:crypto';
import type { Ed25519PrivateKey, PeerId } from '@libp2p/interface';
import { peerIdFromBytes, peerIdToBytes } from './peer-id-bytes.ts';
import { PREKEY_ID_BYTES } from './prekey-frames.ts';

/** An X-Wing public key: ML-KEM-768's (1,184) and X25519's (32). Draft-connolly-cfrg-xwing-kem, section 5.2. */
export const XWING_PUBLIC_KEY_BYTES = 1216;

/** A signed prekey, always: version, kind, expiry, public key, Ed25519 signature. Below the 2 KiB that a mailbox keeps. */
export const PREKEY_BYTES = 1 + 1 + 8 + XWING_PUBLIC_KEY_BYTES + 64;

const SIGNED_BYTES = PREKEY_BYTES - 64;
const VERSION = 1;

/** Keeps these signatures and ids apart from everything else an identity key signs, or SHA-256 is used for. */
const SIGNATURE_CONTEXT = Buffer.from('tincan-mailbox-prekey-v1:');
const ID_CONTEXT = Buffer.from('tincan-mailbox-prekey-id-v1:');

/** `one-time`: its secret is deleted with the first session. `last-resort`: for when those are used up; deleted by the clock. */
export type PrekeyKind = 'one-time' | 'last-resort';

const KINDS: readonly PrekeyKind[] = ['one-time', 'last-resort'];

/** A key to which sessions can be opened, as its owner published it. */
export interface Prekey {
  /** 16 bytes that follow from the public key. */
  id: Uint8Array;
  kind: PrekeyKind;
  /** An X-Wing public key, 1,216 bytes. Whether it is a usable one shows when a session is opened to it. */
  publicKey: Uint8Array;
  /** Milliseconds since 1970, by the owner's clock, after which no session should be opened to it. */
  expiresMs: number;
}

/**
 * - `malformed`: not a prekey of a version known here, or a value is out of range
 * - `bad-signature`: not signed by the peer whose key it should be
 * - `expired`
 * - `unusable`: its public key is none, of small order for instance
 */
export type PrekeyErrorCode = 'malformed' | 'bad-signature' | 'expired' | 'unusable';

/** A prekey to which no session can be opened. Another one may do. */
export class PrekeyError extends Error {
  override name = 'PrekeyError';
  readonly code: PrekeyErrorCode;

  constructor(message: string, code: PrekeyErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The id of the prekey with this public key: 16 bytes of a SHA-256, so that nobody finds a second key for it. */
export function prekeyId(publicKey: Uint8Array): Uint8Array {
  return hash('sha256', Buffer.concat([ID_CONTEXT, publicKey]), 'buffer').subarray(0, PREKEY_ID_BYTES);
}

/**
 * Signs a prekey: 1,290 bytes, for a mailbox or to be handed over directly.
 *
 * @throws RangeError when the key has another length, or `expiresMs` is no time
 */
export async function signPrekey(
  identity: Pick<Ed25519PrivateKey, 'publicKey' | 'sign'>,
  { kind, publicKey, expiresMs }: Omit<Prekey, 'id'>,
): Promise<Uint8Array> {
  if (publicKey.byteLength !== XWING_PUBLIC_KEY_BYTES) throw new RangeError('not an X-Wing public key');
  if (!Number.isSafeInteger(expiresMs) || expiresMs < 0) throw new RangeError('expiresMs: not a time');
  const signed = Buffer.alloc(SIGNED_BYTES);
  signed[0] = VERSION;
  signed[1] = KINDS.indexOf(kind) + 1;
  signed.writeBigUInt64BE(BigInt(expiresMs), 2);
  signed.set(publicKey, 10);
  const owner = identity.publicKey.toMultihash().bytes;
  return Buffer.concat([signed, await identity.sign(textToSign(owner, signed))]);
}

/**
 * Reads a prekey and checks that its owner signed it and that it is not expired. The bytes returned are copies.
 *
 * @param init.owner whose key it should be, with an Ed25519 identity
 * @throws PrekeyError
 */
export async function openPrekey(
  bytes: Uint8Array,
  { owner, nowMs }: { owner: PeerId; nowMs: number },
): Promise<Prekey> {
  if (bytes.byteLength !== PREKEY_BYTES) throw malformed(`${bytes.byteLength} bytes, not ${PREKEY_BYTES}`);
  const copy = Buffer.from(bytes);
  if (copy[0] !== VERSION) throw malformed('of a version that is not known here');
  const kind = KINDS[copy[1]! - 1];
  if (kind === undefined) throw malformed('of a kind that is not known here');
  const expires = copy.readBigUInt64BE(2);
  if (expires > Number.MAX_SAFE_INTEGER) throw malformed('expires_ms is no time');
  const signed = copy.subarray(0, SIGNED_BYTES);
  const ownerBytes = peerIdToBytes(owner);
  if (!(await isSignedBy(ownerBytes, textToSign(ownerBytes, signed), copy.subarray(SIGNED_BYTES)))) {
    throw new PrekeyError('the prekey is not signed by its owner', 'bad-signature');
  }
  const expiresMs = Number(expires);
  if (expiresMs <= nowMs) throw new PrekeyError('the prekey is expired', 'expired');
  const publicKey = signed.subarray(10);
  return { id: prekeyId(publicKey), kind, publicKey, expiresMs };
}

/** Whether an Ed25519 identity, given as the bytes of its peer id, signed a text. */
export async function isSignedBy(
  peerId: Uint8Array,
  text: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const key = peerIdFromBytes(peerId)?.publicKey;
  if (key?.type !== 'Ed25519') return false;
  try {
    return await key.verify(text, signature);
  } catch {
    // 32 bytes that are no key.
    return false;
  }
}

/** The owner's peer id is signed and not sent: who takes a prekey knows whose it asked for. */
function textToSign(owner: Uint8Array, signed: Uint8Array): Uint8Array {
  return Buffer.concat([SIGNATURE_CONTEXT, owner, signed]);
}

function malformed(what: string): PrekeyError {
  return new PrekeyError(`the prekey is malformed: ${what}`, 'malformed');
}
