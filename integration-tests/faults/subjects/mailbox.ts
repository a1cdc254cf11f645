import { hash } from 'node:crypto';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { encodeBlob, encodeDeposit } from '../../../protocols/mailbox/blob-frames.ts';
import { peerIdToBytes } from '../../../protocols/mailbox/peer-id-bytes.ts';
import {
  decodeClientFrame,
  decodeServerFrame,
  encodeAcknowledge,
  encodeAnswers,
  encodeCollect,
  encodeEnd,
  End_Reason,
  MAILBOX_PROTOCOL,
  Status,
} from '../../../protocols/mailbox/protocol.ts';
import type { AnswerRun, ClientFrame, ServerFrame } from '../../../protocols/mailbox/protocol.ts';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { Random } from '../../harness/random.ts';
import { ada, ben, NOW_MS } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const DAY_MS = 24 * 3600_000;

const recipient = peerIdToBytes(peerIdFromPrivateKey(ben));
const depositor = peerIdToBytes(peerIdFromPrivateKey(ada));

const deposit = (seq: number, blob: Uint8Array, expiresMs = NOW_MS, to = recipient): Uint8Array =>
  encodeDeposit({ seq, recipient: to, blobId: hash('sha256', blob, 'buffer'), expiresMs, blob });

const answer = (firstSeq: number, fields: Partial<AnswerRun> = {}): AnswerRun => ({
  firstSeq,
  count: 3,
  status: Status.STORED,
  keptUntilMs: NOW_MS,
  retryAfterMs: 0,
  detail: '',
  ...fields,
});

function encodeClientFrame(frame: ClientFrame | undefined): Uint8Array {
  switch (frame?.type) {
    case 'deposit':
      return encodeDeposit(frame.deposit);
    case 'collect':
      return encodeCollect();
    case 'acknowledge':
      return encodeAcknowledge(frame.count);
    case undefined:
      return new Uint8Array(0);
  }
}

/** A ServerFrame with no answers in it, which no mailbox sends. */
const NO_ANSWERS = Uint8Array.of(0x0a, 0);

function encodeServerFrame(frame: ServerFrame | undefined): Uint8Array {
  switch (frame?.type) {
    case 'answers':
      // Many answers go into several frames. Protobuf joins what stands one behind the other.
      return frame.runs.length === 0 ? NO_ANSWERS : Buffer.concat(encodeAnswers(frame.runs));
    case 'blob':
      return encodeBlob(frame.held);
    case 'end':
      return encodeEnd(frame.reason);
    case undefined:
      return new Uint8Array(0);
  }
}

const randomBytes = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => Math.floor(random() * 256));

/** The bytes of the peer id of a key that nobody has. */
const somebody = (random: Random): Uint8Array =>
  Uint8Array.of(0, 36, 8, 1, 18, 32, ...randomBytes(random, 32));

const expires = (): number => Date.now() + DAY_MS;

export const subject: Subject = {
  name: 'mailbox',
  served: [{ by: 'bootstrap', protocol: MAILBOX_PROTOCOL }],
  decoders: [
    {
      name: 'mailbox ClientFrame',
      decode: decodeClientFrame,
      encode: encodeClientFrame,
      refusals: ['InvalidMessageError'],
      samples: () => [
        deposit(0, new Uint8Array(0), 0),
        deposit(1, new Uint8Array(1000).fill(1)),
        deposit(2 ** 32 - 1, Uint8Array.of(1), Number.MAX_SAFE_INTEGER),
        encodeCollect(),
        encodeAcknowledge(0),
        encodeAcknowledge(2 ** 32 - 1),
      ],
    },
    {
      name: 'mailbox ServerFrame',
      decode: decodeServerFrame,
      encode: encodeServerFrame,
      refusals: ['InvalidMessageError'],
      samples: () => [
        ...encodeAnswers([
          answer(1),
          answer(4, { status: Status.RATE_LIMITED, retryAfterMs: 1000, detail: 'too many' }),
          answer(2 ** 32 - 1, { count: 2 ** 32 - 1, detail: `${'x'.repeat(199)}\u{1f9ea}` }),
        ]),
        encodeBlob({ depositor, depositedAtMs: NOW_MS, blob: new Uint8Array(200).fill(2) }),
        encodeBlob({ depositor: new Uint8Array(0), depositedAtMs: 0, blob: new Uint8Array(0) }),
        encodeEnd(End_Reason.REPLACED),
        encodeEnd(End_Reason.UNAVAILABLE),
      ],
    },
  ],
  floods: [
    {
      name: 'small deposits for everybody',
      request: (random) =>
        encodeFrames([
          deposit(Math.floor(random() * 2 ** 32), randomBytes(random, 100), expires(), somebody(random)),
        ]),
    },
    {
      name: 'large deposits for one',
      request: (random) =>
        encodeFrames([deposit(Math.floor(random() * 2 ** 32), randomBytes(random, 60_000), expires())]),
    },
    {
      name: 'deposits that are refused',
      request: (random) =>
        encodeFrames([
          deposit(1, randomBytes(random, 40), 1),
          encodeDeposit({
            seq: 2,
            recipient,
            blobId: randomBytes(random, 32),
            expiresMs: expires(),
            blob: randomBytes(random, 40),
          }),
          deposit(3, randomBytes(random, 40), expires(), randomBytes(random, 38)),
        ]),
    },
    {
      name: 'collections with acknowledgements of blobs never sent',
      request: (random) => encodeFrames([encodeCollect(), encodeAcknowledge(Math.floor(random() * 2 ** 32))]),
    },
  ],
};
