import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { PeerId, PrivateKey } from '@libp2p/interface';
import { EnvelopeSchema } from './envelope_pb.ts';
import type { Unsealed } from './envelope_pb.ts';
import { peerIdFromBytes, peerIdToBytes } from './peer-id-bytes.ts';

/** Keeps these signatures apart from everything else an identity key signs. */
const UNSEALED_CONTEXT = Buffer.from('tincan-mailbox-unsealed-v1:');

/**
 * - `malformed`: not an envelope of a kind this version knows, or a field is missing or out of range
 * - `bad-signature`: not signed by the peer it names as its sender
 * - `wrong-recipient`: meant for somebody else
 */
export type EnvelopeErrorCode = 'malformed' | 'bad-signature' | 'wrong-recipient';

/** A blob that can't be taken for a message. It will not get better: acknowledge it. */
export class EnvelopeError extends Error {
  override name = 'EnvelopeError';
  readonly code: EnvelopeErrorCode;

  constructor(message: string, code: EnvelopeErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface OpenedEnvelope {
  sender: PeerId;
  /** An encoded tincan.chat.v1.Bundle, not yet looked at. */
  bundle: Uint8Array;
  /** The sender's wall clock, milliseconds since 1970. */
  sentAtMs: number;
  /** Whether it was encrypted end to end. */
  sealed: false;
}

/**
 * Puts a bundle into an envelope that is signed and not encrypted: everybody on the way can read it.
 *
 * @throws RangeError when `nowMs` is not a time
 */
export async function encodeUnsealed(
  privateKey: PrivateKey,
  { recipient, bundle, nowMs }: { recipient: PeerId; bundle: Uint8Array; nowMs: number },
): Promise<Uint8Array> {
  const recipientBytes = peerIdToBytes(recipient);
  const sentAtMs = BigInt(nowMs);
  return toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, {
      body: {
        case: 'unsealed',
        value: {
          $typeName: 'tincan.mailbox.v1.Unsealed',
          sender: peerIdToBytes(peerIdFromPrivateKey(privateKey)),
          recipient: recipientBytes,
          bundle,
          sentAtMs,
          signature: await privateKey.sign(signedBytes(recipientBytes, sentAtMs, bundle)),
        },
      },
    }),
  );
}

/**
 * Opens what a blob holds and checks who wrote it, and for whom. Who deposited it does not matter.
 *
 * @param init.recipient our own peer id
 * @throws EnvelopeError
 */
export async function openEnvelope(
  bytes: Uint8Array,
  { recipient }: { recipient: PeerId },
): Promise<OpenedEnvelope> {
  const unsealed = decodeUnsealed(bytes);
  const sender = peerIdFromBytes(unsealed.sender);
  if (sender?.publicKey === undefined) {
    throw new EnvelopeError('sender: not a peer id that holds a public key', 'malformed');
  }
  if (unsealed.sentAtMs > Number.MAX_SAFE_INTEGER) {
    throw new EnvelopeError('sent_at_ms: not a time', 'malformed');
  }
  const signed = signedBytes(unsealed.recipient, unsealed.sentAtMs, unsealed.bundle);
  if (!(await verified(sender.publicKey, signed, unsealed.signature))) {
    throw new EnvelopeError('signature: not by the sender', 'bad-signature');
  }
  if (!Buffer.from(unsealed.recipient).equals(peerIdToBytes(recipient))) {
    throw new EnvelopeError('recipient: the envelope is meant for somebody else', 'wrong-recipient');
  }
  return { sender, bundle: unsealed.bundle, sentAtMs: Number(unsealed.sentAtMs), sealed: false };
}

function decodeUnsealed(bytes: Uint8Array): Unsealed {
  let envelope;
  try {
    envelope = fromBinary(EnvelopeSchema, bytes);
  } catch (error) {
    throw new EnvelopeError('not an envelope', 'malformed', { cause: error });
  }
  if (envelope.body.case !== 'unsealed') {
    throw new EnvelopeError('body: of a kind this version does not know', 'malformed');
  }
  const { recipient } = envelope.body.value;
  // The signature covers the length of the recipient as one byte.
  if (recipient.byteLength > 0xff) throw new EnvelopeError('recipient: too long', 'malformed');
  return envelope.body.value;
}

async function verified(
  key: NonNullable<PeerId['publicKey']>,
  bytes: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  try {
    return await key.verify(bytes, signature);
  } catch {
    // A signature of the wrong length throws.
    return false;
  }
}

/** What the signature covers. The fields before the bundle have a known length, so no two envelopes share these bytes. */
function signedBytes(recipient: Uint8Array, sentAtMs: bigint, bundle: Uint8Array): Uint8Array {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(sentAtMs);
  return Buffer.concat([UNSEALED_CONTEXT, Uint8Array.of(recipient.byteLength), recipient, time, bundle]);
}
