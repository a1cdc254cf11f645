import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Connection } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { streamPair } from '@libp2p/utils';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { request } from '../../../protocols/framing/request-response.ts';
import { phonebookClient } from '../../../protocols/phonebook/client.ts';
import { phonebookHandler } from '../../../protocols/phonebook/handler.ts';
import { decodeAnswer, decodeRequest } from '../../../protocols/phonebook/messages.ts';
import { AnswerSchema, RequestSchema, Status } from '../../../protocols/phonebook/phonebook_pb.ts';
import type { Answer, Request } from '../../../protocols/phonebook/phonebook_pb.ts';
import { MAX_ANSWER_BYTES, PHONEBOOK_PROTOCOL } from '../../../protocols/phonebook/protocol.ts';
import type { PhonebookDecisions } from '../../../protocols/phonebook/protocol.ts';
import type { Random } from '../../harness/random.ts';
import { ada, NOW_MS, papers, phonebook, sealedCard, signedRecord } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

type RequestBody = NonNullable<MessageInitShape<typeof RequestSchema>['body']>;
type AnswerInit = MessageInitShape<typeof AnswerSchema>;

const ask = (body: RequestBody): Uint8Array => toBinary(RequestSchema, create(RequestSchema, { body }));
const answer = (fields: AnswerInit): Uint8Array =>
  toBinary(AnswerSchema, create(AnswerSchema, { timeMs: BigInt(NOW_MS), ...fields }));

const self = ada.publicKey.toString();

const presence = (timeMs = NOW_MS) => ({
  peerRecord: signedRecord,
  contactCard: sealedCard,
  listed: true,
  timeMs: BigInt(timeMs),
});

const REQUESTS = [
  ask({ case: 'claim', value: { proposal: papers.proposal, presence: presence() } }),
  ask({ case: 'renew', value: { presence: presence() } }),
  ask({ case: 'release', value: { name: 'ada', seq: 7n } }),
  ask({ case: 'resolve', value: { key: { case: 'name', value: 'ada' } } }),
  ask({ case: 'resolve', value: { key: { case: 'peerId', value: self } } }),
  ask({ case: 'list', value: { onlineOnly: true, limit: 20, after: 'ada' } }),
];

const entry = { peerId: self, name: 'ada', online: true, lastSeenMs: BigInt(NOW_MS) };

const ANSWERS = [
  answer({
    status: Status.OK,
    body: { case: 'claimed', value: { certificate: papers.certificate, intervalMs: 30_000n } },
  }),
  answer({
    status: Status.OK,
    body: {
      case: 'renewed',
      value: { intervalMs: 30_000n, name: 'ada', seq: 7n, expiresMs: BigInt(NOW_MS) },
    },
  }),
  answer({
    status: Status.OK,
    body: {
      case: 'resolved',
      value: {
        peerId: self,
        certificate: papers.certificate,
        online: true,
        lastSeenMs: BigInt(NOW_MS),
        peerRecord: signedRecord,
        contactCard: sealedCard,
      },
    },
  }),
  answer({ status: Status.OK, body: { case: 'listed', value: { entries: [entry, entry], next: 'ben' } } }),
  answer({ status: Status.STALE_SEQ, currentSeq: 9n, detail: 'a later one is known' }),
  answer({ status: Status.RATE_LIMITED, retryAfterMs: 5000n }),
  answer({ status: Status.HAS_NAME, heldName: 'ada' }),
  answer({ status: Status.CLOCK_SKEW }),
];

/** Takes everything for good. */
const granted: PhonebookDecisions = {
  claim: async () => ({ status: 'ok', certificate: papers.certificate, intervalMs: 30_000 }),
  renew: async () => ({
    status: 'ok',
    intervalMs: 30_000,
    ownName: { name: 'ada', seq: 7, expiresMs: NOW_MS },
  }),
  release: async () => ({ status: 'ok' }),
  resolve: async () => ({ status: 'not-found' }),
  list: async () => ({ status: 'ok', page: { entries: [], next: null } }),
};

const { signal } = new AbortController();
const connection = { remotePeer: peerIdFromPrivateKey(ada) } as Connection;
const serve = phonebookHandler({ decisions: granted, nowMs: () => NOW_MS, signal });

async function served(bytes: Uint8Array): Promise<Uint8Array> {
  const [near, far] = await streamPair();
  void serve(far, connection);
  return request(near, bytes, { maxFrameBytes: MAX_ANSWER_BYTES, signal });
}

/** Gives an answer to each question a client asks, until one of them is content with it. */
async function read(bytes: Uint8Array): Promise<unknown> {
  const client = phonebookClient({
    phonebook: phonebook.publicKey.toString(),
    nowMs: () => NOW_MS,
    async openStream() {
      const [near, far] = await streamPair();
      far.send(encodeFrames([bytes]));
      return near;
    },
  });
  const body = decodeAnswer(bytes).body.case;
  if (body === 'listed') return client.list({}, { signal });
  if (body === 'resolved') return client.resolve({ peerId: self }, { signal });
  const about = { peerRecord: signedRecord, contactCard: sealedCard, listed: true };
  if (body === 'renewed') return client.renew(about, { signal });
  return client.claim({ ...about, name: 'ada', privateKey: ada }, { signal });
}

const word = (random: Random): string => random().toString(36).slice(2, 12);

export const subject: Subject = {
  name: 'phonebook',
  served: [{ by: 'bootstrap', protocol: PHONEBOOK_PROTOCOL }],
  decoders: [
    {
      name: 'phonebook Request',
      decode: decodeRequest,
      encode: (value: Request) => toBinary(RequestSchema, value),
      refusals: ['InvalidMessageError'],
      samples: () => REQUESTS,
    },
    {
      name: 'phonebook Answer',
      decode: decodeAnswer,
      encode: (value: Answer) => toBinary(AnswerSchema, value),
      refusals: ['InvalidMessageError'],
      samples: () => ANSWERS,
    },
    {
      name: 'phonebook Request, served',
      decode: served,
      // What a client sees when its stream is aborted, or when it sends more than the handler reads.
      refusals: ['StreamResetError', 'InvalidMessageError'],
      samples: () => REQUESTS,
    },
    {
      name: 'phonebook Answer, read',
      decode: read,
      refusals: [
        'InvalidMessageError',
        'PhonebookError',
        'InvalidCertificateError',
        'InvalidPeerRecordError',
        'InvalidContactCardError',
      ],
      samples: () => ANSWERS.slice(0, 4),
      // A phonebook that says the clock is wrong, and has no time that a Date could hold.
      regressions: ['080a10ffffffffffffffffff01'],
    },
  ],
  floods: [
    {
      name: 'lookups',
      request: (random) =>
        encodeFrames([ask({ case: 'resolve', value: { key: { case: 'name', value: word(random) } } })]),
    },
    {
      name: 'lookups of names that mix scripts',
      request: (random) =>
        encodeFrames([
          ask({
            case: 'resolve',
            value: { key: { case: 'name', value: `${'\u303c'.repeat(12 + random() * 19)}a` } },
          }),
        ]),
    },
    {
      name: 'listings',
      request: (random) =>
        encodeFrames([
          ask({ case: 'list', value: { onlineOnly: random() < 0.5, limit: 100, after: word(random) } }),
        ]),
    },
    {
      name: 'claims and renewals of somebody else',
      request: (random) =>
        encodeFrames([
          ask(
            random() < 0.5
              ? { case: 'renew', value: { presence: presence(Date.now()) } }
              : { case: 'claim', value: { proposal: papers.proposal, presence: presence(Date.now()) } },
          ),
        ]),
    },
    {
      name: 'releases of names of others',
      request: (random) =>
        encodeFrames([ask({ case: 'release', value: { name: word(random), seq: 2n ** 53n - 1n } })]),
    },
  ],
};
