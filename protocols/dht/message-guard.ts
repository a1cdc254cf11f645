import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { InvalidMessageError } from '@libp2p/interface';
import type { Stream } from '@libp2p/interface';
import { FrameDecoder } from '../framing/frames.ts';

/**
 * kad-dht reads messages of up to 4 MiB, and writes out the peer ids in them in base58, which takes time by the square of
 * their length: one message of somebody unknown could stop a node for minutes. What is over these bounds doesn't get
 * there. The messages are those of libp2p's kad-dht specification.
 */
export const DHT_MESSAGE_LIMITS = {
  /** A request: a record (4 KiB at the most) under its key. */
  maxRequestBytes: 16 * 1024,
  /** An answer: 20 peers with 30 addresses each, and a record. */
  maxAnswerBytes: 128 * 1024,
  /** A key of ours has two peer ids, or one and a name of 32 code points. */
  maxKeyBytes: 512,
  /** The longest key that stands in a peer id as it is (42 bytes), with its multihash. */
  maxPeerIdBytes: 64,
  /** Peers in one answer: what a lookup asks for, twice. */
  maxPeers: 40,
} as const;

/** Message types that ask for, or say, who provides which content. Tincan has no use for them. */
const ADD_PROVIDER = 2;
const GET_PROVIDERS = 3;

/** Fields of a Message, and of a Peer in it, and how they are written. */
const TYPE = 1;
const KEY = 2;
const CLOSER_PEERS = 8;
const PROVIDER_PEERS = 9;
const MESSAGE_FIELDS = new Map([
  [TYPE, WireType.Varint],
  [KEY, WireType.LengthDelimited],
  [3, WireType.LengthDelimited],
  [CLOSER_PEERS, WireType.LengthDelimited],
  [PROVIDER_PEERS, WireType.LengthDelimited],
  [10, WireType.Varint],
]);
const PEER_ID = 1;
const PEER_FIELDS = new Map([
  [PEER_ID, WireType.LengthDelimited],
  [2, WireType.LengthDelimited],
  [3, WireType.Varint],
]);

/**
 * The next field's number. kad-dht's decoder reads a known field in its own way whatever the wire type says, so that what is
 * written otherwise would be one message here and another one there.
 */
function nextField(reader: BinaryReader, fields: ReadonlyMap<number, WireType>): [number, WireType] {
  const [field, wireType] = reader.tag();
  const isGroup = wireType === WireType.StartGroup || wireType === WireType.EndGroup;
  if (isGroup || (fields.get(field) ?? wireType) !== wireType)
    throw new InvalidMessageError(`field ${field} of a DHT message has the wrong wire type`);
  return [field, wireType];
}

function checkPeer(bytes: Uint8Array): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = nextField(reader, PEER_FIELDS);
    if (field !== PEER_ID) reader.skip(wireType, field);
    else if (reader.bytes().byteLength > DHT_MESSAGE_LIMITS.maxPeerIdBytes)
      throw new InvalidMessageError('a peer id in a DHT message is too long');
  }
}

function checkFields(reader: BinaryReader): void {
  let peers = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = nextField(reader, MESSAGE_FIELDS);
    switch (field) {
      case TYPE: {
        const type = reader.int32();
        if (type === ADD_PROVIDER || type === GET_PROVIDERS)
          throw new InvalidMessageError('this DHT keeps no providers');
        break;
      }
      case KEY:
        if (reader.bytes().byteLength > DHT_MESSAGE_LIMITS.maxKeyBytes)
          throw new InvalidMessageError('the key of a DHT message is too long');
        break;
      case CLOSER_PEERS:
      case PROVIDER_PEERS:
        if (++peers > DHT_MESSAGE_LIMITS.maxPeers)
          throw new InvalidMessageError('a DHT message names too many peers');
        checkPeer(reader.bytes());
        break;
      default:
        reader.skip(wireType, field);
    }
  }
}

/**
 * Looks at a message before kad-dht does.
 *
 * @throws InvalidMessageError when it is no message, about providers, or over a limit
 */
export function checkDhtMessage(bytes: Uint8Array): void {
  try {
    checkFields(new BinaryReader(bytes));
  } catch (error) {
    if (error instanceof InvalidMessageError) throw error;
    throw new InvalidMessageError(`not a DHT message: ${(error as Error).message}`);
  }
}

/**
 * Puts the check in front of whoever reads a stream next: to be called before they do. A stream with a message that does
 * not pass is aborted, and its reader never sees that message.
 */
export function guardStream<S extends Stream>(stream: S, maxFrameBytes: number): S {
  const frames = new FrameDecoder(maxFrameBytes);
  stream.addEventListener('message', (event) => {
    try {
      for (const frame of frames.push(event.data.subarray())) checkDhtMessage(frame);
    } catch (error) {
      event.stopImmediatePropagation();
      stream.abort(error as Error);
    }
  });
  return stream;
}
