import { hash } from 'node:crypto';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { encodeBlob, encodeDeposit } from '../../../protocols/mailbox/blob-frames.ts';
import { signCapability } from '../../../protocols/mailbox/capability.ts';
import {
  DepositorsRefused_Reason,
  encodeDepositorsAnswer,
  encodeDepositorsRequest,
} from '../../../protocols/mailbox/depositors-frames.ts';
import { peerIdToBytes } from '../../../protocols/mailbox/peer-id-bytes.ts';
import {
  encodePrekeyAnswer,
  encodePrekeyRequest,
  MAX_PREKEY_BYTES,
  PrekeysRefused_Reason,
} from '../../../protocols/mailbox/prekey-frames.ts';
import type { HeldPrekey } from '../../../protocols/mailbox/prekey-frames.ts';
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

const deposit = (
  seq: number,
  blob: Uint8Array,
  expiresMs = NOW_MS,
  to = recipient,
  capability: Uint8Array = new Uint8Array(0),
): Uint8Array =>
  encodeDeposit({ seq, recipient: to, blobId: hash('sha256', blob, 'buffer'), expiresMs, blob, capability });

const CAPABILITY = await signCapability(ben, {
  depositor: peerIdFromPrivateKey(ada),
  issuedMs: NOW_MS,
  expiresMs: NOW_MS + 400 * DAY_MS,
});

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
    case 'publish-prekeys':
    case 'take-prekey':
    case 'count-prekeys':
      return encodePrekeyRequest(frame);
    case 'set-depositors':
      return encodeDepositorsRequest(frame);
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
    case 'prekeys-published':
    case 'prekey-taken':
    case 'prekeys-counted':
    case 'prekeys-refused':
      return encodePrekeyAnswer(frame);
    case 'depositors-set':
    case 'depositors-refused':
      return encodeDepositorsAnswer(frame);
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

const prekey = (id: Uint8Array, bytes: Uint8Array, expiresMs = NOW_MS): HeldPrekey => ({
  id,
  expiresMs,
  prekey: bytes,
});

const publish = (oneTime: HeldPrekey[], lastResort?: HeldPrekey, replace = false): Uint8Array =>
  encodePrekeyRequest({ type: 'publish-prekeys', publication: { oneTime, lastResort, replace } });

const take = (from: Uint8Array): Uint8Array => encodePrekeyRequest({ type: 'take-prekey', recipient: from });

const setDepositors = (block: Uint8Array[], unblock: Uint8Array[], atMs = 0): Uint8Array =>
  encodeDepositorsRequest({ type: 'set-depositors', change: { block, unblock, atMs } });

const ID = new Uint8Array(16).fill(1);

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
        deposit(2, new Uint8Array(100).fill(2), NOW_MS, recipient, CAPABILITY),
        encodeCollect(),
        encodeAcknowledge(0),
        encodeAcknowledge(2 ** 32 - 1),
        publish([]),
        publish([prekey(ID, new Uint8Array(1300).fill(3)), prekey(new Uint8Array(16), Uint8Array.of(1))]),
        publish([], prekey(ID, new Uint8Array(MAX_PREKEY_BYTES).fill(4), Number.MAX_SAFE_INTEGER), true),
        take(recipient),
        take(new Uint8Array(0)),
        encodePrekeyRequest({ type: 'count-prekeys' }),
        setDepositors([], []),
        setDepositors([depositor, recipient], [recipient], NOW_MS),
        setDepositors([new Uint8Array(0)], [], Number.MAX_SAFE_INTEGER),
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
        encodePrekeyAnswer({ type: 'prekeys-published', left: 100 }),
        encodePrekeyAnswer({
          type: 'prekey-taken',
          prekey: prekey(ID, new Uint8Array(1300).fill(3)),
          lastResort: true,
        }),
        encodePrekeyAnswer({ type: 'prekeys-counted', oneTimeIds: [ID, ID], lastResortId: ID }),
        encodePrekeyAnswer({ type: 'prekeys-counted', oneTimeIds: [], lastResortId: undefined }),
        encodePrekeyAnswer({
          type: 'prekeys-refused',
          reason: PrekeysRefused_Reason.RATE_LIMITED,
          retryAfterMs: 600_000,
          detail: `${'x'.repeat(199)}\u{1f9ea}`,
        }),
        encodeDepositorsAnswer({ type: 'depositors-set', blocked: 1000 }),
        encodeDepositorsAnswer({
          type: 'depositors-refused',
          reason: DepositorsRefused_Reason.UNAVAILABLE,
          retryAfterMs: 10_000,
          detail: 'no room',
        }),
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
      name: 'prekeys of the largest size',
      request: (random) =>
        encodeFrames([
          publish(
            Array.from({ length: 20 }, () =>
              prekey(randomBytes(random, 16), new Uint8Array(MAX_PREKEY_BYTES), expires()),
            ),
            prekey(randomBytes(random, 16), randomBytes(random, 1300), expires()),
            random() < 0.5,
          ),
        ]),
    },
    {
      name: 'prekeys taken from one, and from nobody',
      request: (random) => encodeFrames([take(recipient), take(depositor), take(somebody(random))]),
    },
    {
      name: 'requests about prekeys that are refused',
      request: (random) =>
        encodeFrames([
          publish([prekey(randomBytes(random, 15), randomBytes(random, 40), expires())]),
          publish([prekey(randomBytes(random, 16), randomBytes(random, 40), 1)]),
          take(randomBytes(random, 38)),
          encodePrekeyRequest({ type: 'count-prekeys' }),
        ]),
    },
    {
      name: 'deposits with capabilities that nobody signed',
      request: (random) => {
        const capability = Uint8Array.from(CAPABILITY);
        capability.set(randomBytes(random, 64), capability.byteLength - 64);
        return encodeFrames([
          deposit(Math.floor(random() * 2 ** 32), randomBytes(random, 40), expires(), recipient, capability),
        ]);
      },
    },
    {
      name: 'blocks of strangers by the hundred',
      request: (random) => {
        const some = Array.from({ length: 100 }, () => somebody(random));
        return encodeFrames([setDepositors(some, [], Date.now()), setDepositors([], some)]);
      },
    },
    {
      name: 'collections with acknowledgements of blobs never sent',
      request: (random) => encodeFrames([encodeCollect(), encodeAcknowledge(Math.floor(random() * 2 ** 32))]),
    },
  ],
};
