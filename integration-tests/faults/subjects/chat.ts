import { toBinary } from '@bufbuild/protobuf';
import { FrameSchema, Refusal_Reason } from '../../../protocols/chat/chat_pb.ts';
import type { Frame } from '../../../protocols/chat/chat_pb.ts';
import { sortFrames } from '../../../protocols/chat/decisions.ts';
import { decodeMessage, encodeMessage } from '../../../protocols/chat/message.ts';
import type { ChatMessage } from '../../../protocols/chat/message.ts';
import {
  CHAT_LIMITS,
  CHAT_PROTOCOL,
  decodeBundle,
  decodeFrame,
  encodeAck,
  encodeBundle,
  encodeHello,
  encodeMessageFrame,
  encodeDepositCapability,
  encodeInviteToken,
  encodePending,
  encodePrekeys,
  encodePrekeysWanted,
  encodeReceipt,
  encodeSessionNotice,
  encodeRefusal,
} from '../../../protocols/chat/protocol.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import type { Random } from '../../harness/random.ts';
import { NOW_MS, papers, sealedCard } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const CHAIN = new Uint8Array(8).fill(7);
const HASH = new Uint8Array(32).fill(9);

function message(fields: Partial<ChatMessage> = {}): Uint8Array {
  return encodeMessage({
    id: new Uint8Array(16).fill(5),
    chain: CHAIN,
    counter: 1,
    previous: new Uint8Array(0),
    clockMs: NOW_MS,
    clockCount: 3,
    sentAtMs: NOW_MS,
    text: 'hello, ben',
    ...fields,
  });
}

const MESSAGES = [
  message(),
  message({ counter: 2, previous: HASH, text: 'a\u0000b \u{1f9ea} ß\u0301 \ufeff' }),
  message({ counter: Number.MAX_SAFE_INTEGER, previous: HASH, clockMs: 8.64e15, clockCount: 2 ** 32 - 1 }),
  message({ text: 'long '.repeat(1000) }),
];

const HELLO = encodeHello({
  features: ['reactions', 'files'],
  contactCard: sealedCard,
  nameCertificate: papers.certificate,
});

const FRAMES = [
  HELLO,
  encodeHello({ features: [], contactCard: new Uint8Array(0), nameCertificate: new Uint8Array(0) }),
  ...MESSAGES.map(encodeMessageFrame),
  encodeAck(CHAIN, [{ first: 1, last: 5 }], () => HASH),
  encodeAck(
    CHAIN,
    [
      { first: 1, last: 5 },
      { first: 7, last: 9 },
      { first: 11, last: Number.MAX_SAFE_INTEGER },
    ],
    () => HASH,
  ),
  encodeRefusal(CHAIN, 4, Refusal_Reason.TOO_LARGE),
  encodeReceipt(CHAIN, 6, HASH),
  encodeSessionNotice({ opened: [HASH.subarray(0, 16)], lost: [HASH.subarray(16)] }),
  encodePrekeysWanted(),
  encodePrekeys([HASH, HASH]),
  encodeInviteToken(HASH),
  encodeDepositCapability(HASH),
  encodePending(),
];

/** Sorts frames as a stream or a mailbox hands them over, and lists what a node would have to decide. */
async function decisionsOn(frames: Uint8Array[]): Promise<unknown[]> {
  const told: unknown[] = [];
  const { hello, messages, tell } = sortFrames(frames);
  const note = async (...what: unknown[]): Promise<void> => void told.push(what);
  await tell(
    {
      hello: () => ({ features: [], contactCard: HASH, nameCertificate: HASH }),
      greeted: () => undefined,
      held: async () => [],
      receive: async () => [],
      acked: note,
      refused: note,
      receipt: note,
      sessionNotice: note,
      prekeysWanted: async (...what) => {
        told.push(what);
        return [];
      },
      prekeys: note,
      inviteToken: note,
      depositCapability: note,
      pending: note,
    },
    'peer',
  );
  return [hello, messages, told];
}

const randomBytes = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => Math.floor(random() * 256));

/** On each stream the first frame is a hello; the ones of later requests are passed over. */
const onStream = (...frames: Uint8Array[]): Uint8Array => encodeFrames([HELLO, ...frames]);

export const subject: Subject = {
  name: 'chat',
  served: [{ by: 'daemon', protocol: CHAT_PROTOCOL }],
  decoders: [
    {
      name: 'chat Frame',
      decode: decodeFrame,
      encode: (frame: Frame) => toBinary(FrameSchema, frame),
      refusals: ['InvalidMessageError'],
      samples: () => FRAMES,
    },
    {
      name: 'chat Frame, decided on',
      decode: (bytes) => decisionsOn([bytes]),
      refusals: ['InvalidMessageError'],
      samples: () => FRAMES,
    },
    {
      name: 'chat Message',
      decode: decodeMessage,
      encode: encodeMessage,
      refusals: ['UnacceptableMessageError'],
      samples: () => MESSAGES,
    },
    {
      name: 'chat Bundle',
      decode: decodeBundle,
      encode: encodeBundle,
      refusals: ['InvalidMessageError'],
      samples: () => [encodeBundle(FRAMES.slice(2)), encodeBundle([FRAMES[2]!]), encodeBundle([])],
      // 200,000 frames in 400 kB: each cost more than its message would.
      regressions: ['0a00'.repeat(200_000)],
    },
    {
      name: 'chat Bundle, decided on',
      decode: (bytes) => decisionsOn(decodeBundle(bytes)),
      refusals: ['InvalidMessageError'],
      samples: () => [encodeBundle(FRAMES.slice(2)), encodeBundle(FRAMES)],
    },
  ],
  floods: [
    {
      name: 'messages that follow nothing',
      request: (random) =>
        onStream(
          encodeMessageFrame(
            message({
              id: randomBytes(random, 16),
              chain: randomBytes(random, 8),
              counter: 1 + Math.floor(random() * 1e9),
              previous: randomBytes(random, 32),
            }),
          ),
        ),
    },
    {
      name: 'messages in two chains',
      request: (random) =>
        onStream(
          encodeMessageFrame(
            message({
              id: randomBytes(random, 16),
              chain: new Uint8Array(8).fill(random() < 0.5 ? 1 : 2),
              counter: 1 + Math.floor(random() * Number.MAX_SAFE_INTEGER),
              previous: randomBytes(random, 32),
            }),
          ),
        ),
    },
    {
      name: 'acknowledgements of messages never sent',
      request: (random) =>
        onStream(
          encodeAck(
            randomBytes(random, 8),
            Array.from({ length: CHAT_LIMITS.maxAckRanges }, (_, i) => ({
              first: 3 * i + 2,
              last: 3 * i + 3,
            })),
            () => HASH,
          ),
          encodeAck(randomBytes(random, 8), [{ first: 1, last: Number.MAX_SAFE_INTEGER }], () => HASH),
        ),
    },
    {
      name: 'receipts and refusals of messages never sent',
      request: (random) =>
        onStream(
          encodeReceipt(randomBytes(random, 8), 1 + Math.floor(random() * Number.MAX_SAFE_INTEGER), HASH),
          encodeRefusal(randomBytes(random, 8), 1 + Math.floor(random() * 1e6), Refusal_Reason.CONFLICT),
        ),
    },
  ],
};
