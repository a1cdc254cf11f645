import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import { BundleSchema, FrameSchema } from './chat_pb.ts';
import type { Ack, Frame, Hello, Refusal_Reason } from './chat_pb.ts';
import { MAX_TEXT_BYTES } from './limits.ts';
import { contiguousUpTo } from './ranges.ts';
import type { Range, Ranges } from './ranges.ts';

/** Bytes of the hash of a message: SHA-256. */
export const HASH_BYTES = 32;

/** The conversation between two nodes. See README.md beside this file. */
export const CHAT_PROTOCOL = '/chat/1.0.0';

/** The minor version this code speaks; 1.1 adds frames and fields that 1.0 ignores. */
export const CHAT_VERSION = 0;

export const CHAT_LIMITS = {
  /** Text of one message. */
  maxTextBytes: MAX_TEXT_BYTES,
  /** A frame: the longest message with its metadata, or a hello with card and certificate; doubled for later versions. */
  maxFrameBytes: 96 * 1024,
  /** Ranges beyond the gap in one Ack; what does not fit is acknowledged once the gap closes. */
  maxAckRanges: 64,
  /** Frames in a bundle: the shortest there are, refusals, come to fewer in the 60 KiB that a sender puts into one. */
  maxBundleFrames: 4096,
  /** Feature names in a hello. */
  maxFeatures: 64,
  /** Sessions that one notice names, of each kind. */
  maxNotedSessions: 64,
  /** Prekeys in one frame: enough for days of being apart. */
  maxPrekeys: 4,
  /** An invite's token. */
  maxTokenBytes: 64,
  /** A deposit capability, with room for later versions. */
  maxCapabilityBytes: 1024,
  /** Messages sent and not yet acknowledged on one stream: bounds what a receiver may have to keep for one commit. */
  maxUnacknowledged: 4096,
  /** A live stream whose messages stay unacknowledged this long is given up and dialled anew. */
  ackTimeoutMs: 30_000,
  /** Inbound chat streams of one connection: one is in use, the others are being replaced. */
  maxInboundStreams: 4,
  /** The first frame must come within this time. */
  helloTimeoutMs: 10_000,
} as const;

type FrameBody = Exclude<Frame['body'], { case: undefined }>;

function encodeFrame(body: FrameBody): Uint8Array {
  return toBinary(FrameSchema, create(FrameSchema, { body }));
}

/** Decodes one frame. @throws InvalidMessageError when it is not protobuf */
export function decodeFrame(bytes: Uint8Array): Frame {
  try {
    return fromBinary(FrameSchema, bytes);
  } catch (error) {
    throw new InvalidMessageError(`not a chat frame: ${(error as Error).message}`);
  }
}

export interface HelloFields {
  features: string[];
  /** A signed contact card; empty when there is none. */
  contactCard: Uint8Array;
  /** A name certificate; empty when there is none. */
  nameCertificate: Uint8Array;
}

export function encodeHello(hello: HelloFields): Uint8Array {
  return encodeFrame({ case: 'hello', value: { version: CHAT_VERSION, ...hello } as Hello });
}

/** The tag of `Frame.message`: field 2, length-delimited. */
const MESSAGE_TAG = 0x12;

/** Wraps an encoded Message: the frame that `toBinary` would give, without the detour through an object. */
export function encodeMessageFrame(message: Uint8Array): Uint8Array {
  const length = message.byteLength;
  const prefix = length < 0x80 ? 1 : length < 0x4000 ? 2 : 3;
  const frame = new Uint8Array(1 + prefix + length);
  frame[0] = MESSAGE_TAG;
  let rest = length;
  for (let at = 1; at <= prefix; at++) {
    frame[at] = at < prefix ? (rest & 0x7f) | 0x80 : rest;
    rest >>>= 7;
  }
  frame.set(message, 1 + prefix);
  return frame;
}

/** A hash that a frame does not give. */
const NO_HASH = new Uint8Array(0);

/** Counters that another node has, and what its message at `last` hashes to; empty when it does not say. */
export interface AckedRange extends Range {
  hash: Uint8Array;
}

/**
 * Acknowledges the counters in `received` of one chain.
 *
 * @param hashAt the `messageHash` of the message held at a counter; left out, the ack proves nothing to its author
 */
export function encodeAck(
  chain: Uint8Array,
  received: Ranges,
  hashAt: (counter: number) => Uint8Array = () => NO_HASH,
): Uint8Array {
  const upTo = contiguousUpTo(received);
  const beyond = (upTo > 0 ? received.slice(1) : received).slice(0, CHAT_LIMITS.maxAckRanges);
  return encodeFrame({
    case: 'ack',
    value: {
      chain,
      upTo: BigInt(upTo),
      beyond: beyond.map(({ first, last }) => ({
        first: BigInt(first),
        last: BigInt(last),
        hash: hashAt(last),
      })),
      hash: upTo > 0 ? hashAt(upTo) : NO_HASH,
    } as Ack,
  });
}

/** A hash from the wire, copied: what was decoded is a view on a chunk. @throws InvalidMessageError when it is none */
export function givenHash(hash: Uint8Array): Uint8Array {
  if (hash.byteLength !== 0 && hash.byteLength !== HASH_BYTES) {
    throw new InvalidMessageError(`a hash must have ${HASH_BYTES} bytes`);
  }
  return new Uint8Array(hash);
}

/** The counters an Ack names. @throws InvalidMessageError when its ranges are not ascending or out of bounds */
export function ackedRanges(ack: Ack): AckedRange[] {
  const ranges: AckedRange[] =
    ack.upTo > 0n ? [{ first: 1, last: safeCounter(ack.upTo), hash: givenHash(ack.hash) }] : [];
  if (ack.beyond.length > CHAT_LIMITS.maxAckRanges)
    throw new InvalidMessageError('an ack names too many ranges');
  for (const { first, last, hash } of ack.beyond) {
    const range = { first: safeCounter(first), last: safeCounter(last), hash: givenHash(hash) };
    if (range.first > range.last || range.first <= (ranges.at(-1)?.last ?? 0)) {
      throw new InvalidMessageError('the ranges of an ack must ascend');
    }
    ranges.push(range);
  }
  return ranges;
}

export function encodeRefusal(chain: Uint8Array, counter: number, reason: Refusal_Reason): Uint8Array {
  return encodeFrame({
    case: 'refusal',
    value: { $typeName: 'tincan.chat.v1.Refusal', chain, counter: BigInt(counter), reason },
  });
}

/** @param hash the `messageHash` of the message at `readUpTo` */
export function encodeReceipt(chain: Uint8Array, readUpTo: number, hash: Uint8Array = NO_HASH): Uint8Array {
  return encodeFrame({
    case: 'receipt',
    value: { $typeName: 'tincan.chat.v1.Receipt', chain, readUpTo: BigInt(readUpTo), hash },
  });
}

/** What became of sealed sessions that the receiver opened: at most 64 ids of each kind, 16 bytes each. */
export interface NotedSessions {
  /** The sender of the notice has these. */
  opened: Uint8Array[];
  /** It can't open their blobs: what it has not acknowledged has to be sealed again. */
  lost: Uint8Array[];
}

export function encodeSessionNotice({ opened, lost }: NotedSessions): Uint8Array {
  return encodeFrame({
    case: 'sessionNotice',
    value: { $typeName: 'tincan.chat.v1.SessionNotice', opened, lost },
  });
}

export function encodePrekeysWanted(): Uint8Array {
  return encodeFrame({ case: 'prekeysWanted', value: { $typeName: 'tincan.chat.v1.PrekeysWanted' } });
}

/** @param prekeys as `signPrekey` gives them, at most 4 */
export function encodePrekeys(prekeys: Uint8Array[]): Uint8Array {
  return encodeFrame({ case: 'prekeys', value: { $typeName: 'tincan.chat.v1.Prekeys', prekeys } });
}

/** @param token at most 64 bytes */
export function encodeInviteToken(token: Uint8Array): Uint8Array {
  return encodeFrame({ case: 'inviteToken', value: token });
}

/** @param capability at most 1,024 bytes */
export function encodeDepositCapability(capability: Uint8Array): Uint8Array {
  return encodeFrame({ case: 'depositCapability', value: capability });
}

export function encodePending(): Uint8Array {
  return encodeFrame({ case: 'pending', value: { $typeName: 'tincan.chat.v1.Pending' } });
}

/** A counter from the wire as a number. @throws InvalidMessageError when it is 0 or over 2^53 - 1 */
export function safeCounter(value: bigint): number {
  if (value < 1n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InvalidMessageError('a counter must be between 1 and 2^53 - 1');
  }
  return Number(value);
}

/** What is sealed for a mailbox. */
export function encodeBundle(frames: Uint8Array[]): Uint8Array {
  return toBinary(BundleSchema, create(BundleSchema, { frames }));
}

/** @throws InvalidMessageError when it is not a bundle, or one of more frames than anybody has to say */
export function decodeBundle(bytes: Uint8Array): Uint8Array[] {
  let frames: Uint8Array[];
  try {
    ({ frames } = fromBinary(BundleSchema, bytes));
  } catch (error) {
    throw new InvalidMessageError(`not a bundle: ${(error as Error).message}`);
  }
  if (frames.length > CHAT_LIMITS.maxBundleFrames) {
    throw new InvalidMessageError(`a bundle may have at most ${CHAT_LIMITS.maxBundleFrames} frames`);
  }
  return frames;
}
