import { RecordEnvelope, PeerRecord } from '@libp2p/peer-record';
import { decodeCookie, encodeCookie } from '../../../bootstrap/registration-cookie.ts';
import type { DiscoveryPosition } from '../../../bootstrap/registration-cookie.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { openPeerRecord } from '../../../protocols/phonebook/peer-record.ts';
import {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  RENDEZVOUS_PROTOCOL,
} from '../../../protocols/rendezvous/protocol.ts';
import { openSignedPeerRecord } from '../../../protocols/transport/signed-peer-record.ts';
import { ada, peerRecord, signedRecord } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const cookie = encodeCookie({ epoch: new Uint8Array(8).fill(1), position: 77, namespace: 'tincan' });

const records = [signedRecord, await peerRecord([]), await peerRecord(['/dns4/node.example/tcp/1'])];

/** A peer record that says what these bytes do, signed by Ada. */
async function signed(payload: Uint8Array): Promise<Uint8Array> {
  const record = {
    domain: PeerRecord.DOMAIN,
    codec: PeerRecord.CODEC,
    marshal: () => payload,
    equals: () => false,
  };
  return (await RecordEnvelope.seal(record, ada)).marshal();
}

async function opened(bytes: Uint8Array): Promise<unknown> {
  const { peerId, multiaddrs, seq } = await openSignedPeerRecord(bytes);
  return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), seq };
}

/** The empty answer to `undefined`, which is what a cookie that is none is decoded to. */
function encodeAnyCookie(position: DiscoveryPosition | undefined): Uint8Array {
  return position === undefined ? new Uint8Array(0) : encodeCookie(position);
}

export const subject: Subject = {
  name: 'rendezvous',
  served: [{ by: 'bootstrap', protocol: RENDEZVOUS_PROTOCOL }],
  decoders: [
    {
      name: 'rendezvous request',
      decode: decodeRequest,
      encode: encodeRequest,
      refusals: ['InvalidMessageError'],
      samples: () => [
        encodeRequest({ type: 'register', namespace: 'tincan', signedPeerRecord: signedRecord }),
        encodeRequest({
          type: 'register',
          namespace: 'x'.repeat(255),
          signedPeerRecord: signedRecord,
          ttlSeconds: 7200,
        }),
        encodeRequest({ type: 'unregister', namespace: 'tincan' }),
        encodeRequest({ type: 'discover' }),
        encodeRequest({ type: 'discover', namespace: 'tincan', limit: 1000, cookie }),
      ],
    },
    {
      name: 'rendezvous response',
      decode: decodeResponse,
      encode: encodeResponse,
      refusals: ['InvalidMessageError'],
      samples: () => [
        encodeResponse({ type: 'register-response', ttlSeconds: 7200 }),
        encodeResponse({ type: 'register-response', refusal: 'invalid-ttl', reason: 'too long' }),
        encodeResponse({
          type: 'discover-response',
          registrations: records.map((signedPeerRecord) => ({
            namespace: 'tincan',
            signedPeerRecord,
            ttlSeconds: 60,
          })),
          cookie,
        }),
        encodeResponse({ type: 'discover-response', refusal: 'unavailable', reason: 'later' }),
      ],
    },
    {
      name: 'registration cookie',
      decode: decodeCookie,
      encode: encodeAnyCookie,
      refusals: [],
      samples: () => [
        cookie,
        encodeCookie({ epoch: new Uint8Array(8), position: 0, namespace: undefined }),
        encodeCookie({
          epoch: new Uint8Array(8).fill(255),
          position: Number.MAX_SAFE_INTEGER,
          namespace: 'ключ',
        }),
      ],
    },
    {
      name: 'signed peer record',
      decode: opened,
      refusals: ['InvalidMessageError'],
      samples: () => records,
    },
    {
      name: 'signed peer record payload, signed',
      decode: async (bytes) => openPeerRecord(await signed(bytes)),
      refusals: ['InvalidPeerRecordError'],
      samples: () =>
        records.map((record) => new Uint8Array(RecordEnvelope.createFromProtobuf(record).payload)),
    },
  ],
  floods: [
    {
      name: 'registrations',
      request: (random) =>
        encodeFrames([
          encodeRequest({
            type: 'register',
            namespace: `flood-${random().toString(36).slice(2)}`,
            signedPeerRecord: signedRecord,
            ttlSeconds: 7200,
          }),
        ]),
    },
    {
      name: 'discoveries',
      request: (random) =>
        encodeFrames([
          encodeRequest({
            type: 'discover',
            ...(random() < 0.5 ? { namespace: 'tincan' } : {}),
            limit: 1000,
          }),
        ]),
    },
    {
      name: 'unregistrations',
      request: (random) =>
        encodeFrames([
          encodeRequest({ type: 'unregister', namespace: `flood-${random().toString(36).slice(2)}` }),
        ]),
    },
  ],
};
