import type { Ed25519PrivateKey, PeerId } from '@libp2p/interface';
import { peerIdToBytes } from './peer-id-bytes.ts';
import { isSignedBy } from './prekey.ts';

/** An Ed25519 peer id: multihash code, length, and an encoded PublicKey of 36 bytes. */
const PEER_ID_BYTES = 38;
const SIGNATURE_BYTES = 64;

/** A capability, always: version, depositor, time of issue, expiry, Ed25519 signature. */
export const CAPABILITY_BYTES = 1 + PEER_ID_BYTES + 8 + 8 + SIGNATURE_BYTES;

/**
 * From issue to expiry at the most, two years. Mailboxes remember blocks for as long, so that none that was issued before one
 * outlives it.
 */
export const MAX_CAPABILITY_LIFETIME_MS = 730 * 24 * 3_600_000;

const SIGNED_BYTES = CAPABILITY_BYTES - SIGNATURE_BYTES;
const ISSUED_AT = 1 + PEER_ID_BYTES;
const VERSION = 1;

/** Keeps these signatures apart from everything else an identity key signs. */
const SIGNATURE_CONTEXT = Buffer.from('tincan-mailbox-capability-v1:');

/** When a capability holds. By the issuer's clock, milliseconds since 1970. */
export interface CapabilityTimes {
  /** One that was issued after the depositor was blocked counts when it is unblocked; the ones before are void. */
  issuedMs: number;
  /** Not later than 730 days after `issuedMs`. */
  expiresMs: number;
}

/**
 * - `malformed`: not a capability of a version known here, or a value is out of range
 * - `wrong-depositor`: for somebody else
 * - `expired`
 * - `bad-signature`: not signed by the recipient
 */
export type CapabilityErrorCode = 'malformed' | 'wrong-depositor' | 'expired' | 'bad-signature';

/** A capability that gives no right to deposit. Without one, a deposit is a stranger's. */
export class CapabilityError extends Error {
  override name = 'CapabilityError';
  readonly code: CapabilityErrorCode;

  constructor(message: string, code: CapabilityErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Signs that somebody may deposit as an acquaintance of ours: 119 bytes, to be handed to the depositor.
 *
 * @param identity the recipient's
 * @param init.depositor with an Ed25519 identity
 * @throws RangeError when the depositor has no such identity, or the times are out of range
 */
export async function signCapability(
  identity: Pick<Ed25519PrivateKey, 'publicKey' | 'sign'>,
  { depositor, issuedMs, expiresMs }: { depositor: PeerId } & CapabilityTimes,
): Promise<Uint8Array> {
  const depositorBytes = peerIdToBytes(depositor);
  if (depositorBytes.byteLength !== PEER_ID_BYTES) throw new RangeError('depositor: not an Ed25519 identity');
  for (const [name, time] of Object.entries({ issuedMs, expiresMs })) {
    if (!Number.isSafeInteger(time) || time < 0) throw new RangeError(`${name}: not a time`);
  }
  const wrong = wrongTimes(issuedMs, expiresMs);
  if (wrong !== undefined) throw new RangeError(wrong);
  const signed = Buffer.alloc(SIGNED_BYTES);
  signed[0] = VERSION;
  signed.set(depositorBytes, 1);
  signed.writeBigUInt64BE(BigInt(issuedMs), ISSUED_AT);
  signed.writeBigUInt64BE(BigInt(expiresMs), ISSUED_AT + 8);
  const recipient = identity.publicKey.toMultihash().bytes;
  return Buffer.concat([signed, await identity.sign(textToSign(recipient, signed))]);
}

/**
 * Reads a capability and checks that the recipient signed it for this depositor, and that it is not expired. The signature
 * comes last, since it takes a hundred times as long as all the rest.
 *
 * @param init.recipient who should have signed it, with an Ed25519 identity
 * @throws CapabilityError
 */
export async function openCapability(
  bytes: Uint8Array,
  { recipient, depositor, nowMs }: { recipient: PeerId; depositor: PeerId; nowMs: number },
): Promise<CapabilityTimes> {
  if (bytes.byteLength !== CAPABILITY_BYTES) {
    throw malformed(`${bytes.byteLength} bytes, not ${CAPABILITY_BYTES}`);
  }
  const copy = Buffer.from(bytes);
  if (copy[0] !== VERSION) throw malformed('of a version that is not known here');
  const issued = copy.readBigUInt64BE(ISSUED_AT);
  const expires = copy.readBigUInt64BE(ISSUED_AT + 8);
  if (issued > Number.MAX_SAFE_INTEGER) throw malformed('issued_ms is no time');
  if (expires > Number.MAX_SAFE_INTEGER) throw malformed('expires_ms is no time');
  const times = { issuedMs: Number(issued), expiresMs: Number(expires) };
  const wrong = wrongTimes(times.issuedMs, times.expiresMs);
  if (wrong !== undefined) throw malformed(wrong);
  if (!copy.subarray(1, ISSUED_AT).equals(peerIdToBytes(depositor))) {
    throw new CapabilityError('the capability is for another depositor', 'wrong-depositor');
  }
  if (times.expiresMs <= nowMs) throw new CapabilityError('the capability is expired', 'expired');
  const signed = copy.subarray(0, SIGNED_BYTES);
  const recipientBytes = peerIdToBytes(recipient);
  if (!(await isSignedBy(recipientBytes, textToSign(recipientBytes, signed), copy.subarray(SIGNED_BYTES)))) {
    throw new CapabilityError('the capability is not signed by the recipient', 'bad-signature');
  }
  return times;
}

/** What is wrong with the two times together. */
function wrongTimes(issuedMs: number, expiresMs: number): string | undefined {
  if (expiresMs < issuedMs) return 'it expires before it is issued';
  if (expiresMs - issuedMs > MAX_CAPABILITY_LIFETIME_MS) return 'it lasts for over 730 days';
  return undefined;
}

/** The recipient's peer id is signed and not sent: it stands in the deposit. */
function textToSign(recipient: Uint8Array, signed: Uint8Array): Uint8Array {
  return Buffer.concat([SIGNATURE_CONTEXT, recipient, signed]);
}

function malformed(what: string): CapabilityError {
  return new CapabilityError(`the capability is malformed: ${what}`, 'malformed');
}
