import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  CARD_NAMESPACE,
  cardKey,
  NAME_NAMESPACE,
  nameKey,
  recordRules,
} from '../../../protocols/dht/records.ts';
import { checkDhtMessage } from '../../../protocols/dht/message-guard.ts';
import { DHT_PROTOCOL } from '../../../protocols/dht/service.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { varint } from '../fuzz/fuzz-fields.ts';
import type { Random } from '../../harness/random.ts';
import { ada, NOW_MS, papers, phonebook, sealedCard } from '../fuzz/fuzz-papers.ts';
import type { Decoder, Subject } from '../subject.ts';

const ADA = ada.publicKey.toString();
const PHONEBOOK = phonebook.publicKey.toString();

/** A key and a record as one input: the length of the key, the key, the record. */
const placed = (key: Uint8Array, value: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of(key.byteLength), key, value]);

/** The rules for records, asked as kad-dht asks them. */
function recordDecoder(name: string, namespace: string, refusal: string, samples: Uint8Array[]): Decoder {
  return {
    name,
    async decode(bytes) {
      const length = bytes[0] ?? 0;
      const key = bytes.subarray(1, 1 + length);
      const value = bytes.subarray(1 + length);
      const { validators, selectors } = recordRules({ nowMs: () => NOW_MS });
      const signal = AbortSignal.abort();
      const best = await selectors[namespace]!(key, [value, value]);
      if (best !== 0) throw new TypeError('of two records that are the same, the first has to stay');
      await validators[namespace]!(key, value, { signal });
      return 'valid';
    },
    refusals: [refusal, 'MisplacedRecordError', 'StaleRecordError'],
    samples: () => samples,
  };
}

/** Of the libp2p DHT's messages (spec: kad-dht), what a client asks with. */
const PUT_VALUE = 0;
const GET_VALUE = 1;
const ADD_PROVIDER = 2;
const FIND_NODE = 4;

/** The CID of some content: version 1, raw, SHA-256. */
const CONTENT = Uint8Array.of(1, 0x55, 0x12, 32, ...new Uint8Array(32).fill(1));

function dhtMessage(type: number, key: Uint8Array, record?: Uint8Array): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(type);
  writer.tag(2, WireType.LengthDelimited).bytes(key);
  if (record !== undefined) writer.tag(3, WireType.LengthDelimited).bytes(record);
  return writer.finish();
}

function dhtRecord(key: Uint8Array, value: Uint8Array): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).bytes(key);
  writer.tag(2, WireType.LengthDelimited).bytes(value);
  writer.tag(5, WireType.LengthDelimited).string(new Date().toISOString());
  return writer.finish();
}

const randomBytes = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => Math.floor(random() * 256));

const name = (random: Random): string => random().toString(36).slice(2, 12);

/** As it goes on a stream. */
const asked = (...message: Parameters<typeof dhtMessage>): Uint8Array =>
  encodeFrames([dhtMessage(...message)]);

function put(key: Uint8Array, value: Uint8Array): Uint8Array {
  return asked(PUT_VALUE, key, dhtRecord(key, value));
}

export const subject: Subject = {
  name: 'dht',
  served: [
    { by: 'bootstrap', protocol: DHT_PROTOCOL },
    { by: 'daemon', protocol: DHT_PROTOCOL },
  ],
  decoders: [
    recordDecoder('dht name record', NAME_NAMESPACE, 'InvalidCertificateError', [
      placed(nameKey(PHONEBOOK, 'ada'), papers.certificate),
    ]),
    recordDecoder('dht card record', CARD_NAMESPACE, 'InvalidContactCardError', [
      placed(cardKey(ADA), sealedCard),
    ]),
    {
      name: 'dht message, looked at',
      decode: checkDhtMessage,
      refusals: ['InvalidMessageError'],
      samples: () => [
        dhtMessage(FIND_NODE, cardKey(ADA)),
        dhtMessage(GET_VALUE, nameKey(PHONEBOOK, 'ada')),
        dhtMessage(PUT_VALUE, cardKey(ADA), dhtRecord(cardKey(ADA), sealedCard)),
        Buffer.concat([dhtMessage(GET_VALUE, cardKey(ADA)), Uint8Array.of(0x42, 6, 0x0a, 1, 7, 0x12, 1, 4)]),
      ],
    },
  ],
  floods: [
    {
      name: 'forged records',
      request: (random) =>
        put(
          cardKey(ADA),
          sealedCard.map((byte) => (random() < 0.01 ? byte ^ 1 : byte)),
        ),
    },
    {
      name: 'misplaced records',
      request: (random) => put(nameKey(PHONEBOOK, name(random)), papers.certificate),
    },
    {
      name: 'oversize records',
      request: (random) => put(nameKey(PHONEBOOK, name(random)), randomBytes(random, 60_000)),
    },
    {
      name: 'record lookups',
      request: (random) => asked(GET_VALUE, nameKey(PHONEBOOK, name(random))),
    },
    {
      name: 'addresses and keys that would take minutes to write out',
      request: (random) => {
        const length = 30_000 + Math.floor(random() * 100);
        const address = Buffer.concat([
          Uint8Array.of(0xa5, 3),
          varint(BigInt(length)),
          new Uint8Array(length).fill(0xff),
        ]);
        const writer = new BinaryWriter();
        writer.tag(1, WireType.Varint).int32(ADD_PROVIDER);
        writer.tag(2, WireType.LengthDelimited).bytes(CONTENT);
        writer.tag(9, WireType.LengthDelimited).fork();
        writer
          .tag(1, WireType.LengthDelimited)
          .bytes(Uint8Array.of(0, 36, 8, 1, 18, 32, ...randomBytes(random, 32)));
        writer.tag(2, WireType.LengthDelimited).bytes(address);
        return encodeFrames([writer.join().finish()]);
      },
    },
    { name: 'peer lookups', request: (random) => asked(FIND_NODE, randomBytes(random, 38)) },
  ],
};
