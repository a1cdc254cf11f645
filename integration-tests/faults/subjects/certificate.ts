import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CertificatePayloadSchema,
  NameCertificateSchema,
} from '../../../protocols/phonebook/certificate_pb.ts';
import { countersign, openProposal, verifyCertificate } from '../../../protocols/phonebook/certificate.ts';
import type { NameCertificate, Proposal } from '../../../protocols/phonebook/certificate.ts';
import { normaliseName } from '../../../protocols/phonebook/name.ts';
import { ada, ben, certify, NOW_MS, phonebook } from '../fuzz/fuzz-papers.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import type { Subject } from '../subject.ts';

const OWNER_DOMAIN = Buffer.from('tincan-name-certificate:owner:1\0');

const samples = await Promise.all([
  certify('ada'),
  certify('łukasz.9'),
  certify('ひカ一', { seq: 2 ** 53 - 1 }),
]);

/** Signs whatever a payload says, as its owner and as the phonebook. */
async function signed(payload: Uint8Array): Promise<Uint8Array> {
  const ownerSignature = await ada.sign(Buffer.concat([OWNER_DOMAIN, payload]));
  return countersign(phonebook, { payload, ownerSignature } as Proposal);
}

function payloadOf(certificate: Uint8Array): Uint8Array {
  return fromBinary(NameCertificateSchema, certificate).payload;
}

function payload({ seq, expiresMs, ...certificate }: NameCertificate): Uint8Array {
  return toBinary(
    CertificatePayloadSchema,
    create(CertificatePayloadSchema, { ...certificate, seq: BigInt(seq), expiresMs: BigInt(expiresMs) }),
  );
}

const [whole] = samples;
const fields = fromBinary(NameCertificateSchema, whole.certificate);
const adas: NameCertificate = await verifyCertificate(whole.certificate, { nowMs: NOW_MS });

const withSignatures = (signatures: {
  ownerSignature?: Uint8Array;
  phonebookSignature?: Uint8Array;
}): Uint8Array =>
  toBinary(NameCertificateSchema, create(NameCertificateSchema, { ...fields, ...signatures }));

const ownersText = Buffer.concat([OWNER_DOMAIN, fields.payload]);
const NO_SIGNATURE = new Uint8Array(64);

/** Signed by others, for something else, or not at all. */
const misattributed = [
  withSignatures({ ownerSignature: await ben.sign(ownersText) }),
  withSignatures({ ownerSignature: await ada.sign(fields.payload) }),
  withSignatures({ ownerSignature: fields.phonebookSignature }),
  withSignatures({ ownerSignature: NO_SIGNATURE }),
];

/** And by others than the phonebook. */
const notGiven = [
  whole.proposal,
  await countersign(ada, await openProposal(whole.proposal)),
  await countersign(ben, await openProposal(whole.proposal)),
  withSignatures({ phonebookSignature: fields.ownerSignature }),
  withSignatures({ phonebookSignature: NO_SIGNATURE }),
  withSignatures({
    phonebookSignature: fromBinary(NameCertificateSchema, samples[1].certificate).phonebookSignature,
  }),
];

/** What no payload may say, whoever signed it. */
const misstated = [
  { ...adas, name: 'Ada' },
  { ...adas, name: '' },
  { ...adas, owner: ben.publicKey.toString() },
  { ...adas, owner: 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N' },
  { ...adas, phonebook: ben.publicKey.toString() },
  { ...adas, phonebook: '' },
  { ...adas, seq: 0 },
  { ...adas, seq: 2 ** 53 },
  { ...adas, seq: 2 ** 63 },
  { ...adas, expiresMs: NOW_MS },
  { ...adas, expiresMs: 2 ** 53 },
  { ...adas, expiresMs: Number.MAX_SAFE_INTEGER },
].map(payload);

export const subject: Subject = {
  name: 'certificate',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'name certificate',
      decode: (bytes) => verifyCertificate(bytes, { nowMs: NOW_MS }),
      refusals: ['InvalidCertificateError'],
      samples: () => samples.map(({ certificate }) => certificate),
      forged: () => [...misattributed, ...notGiven],
    },
    {
      name: 'name certificate proposal',
      decode: openProposal,
      encode: (proposal: Proposal) =>
        toBinary(NameCertificateSchema, create(NameCertificateSchema, { ...proposal })),
      refusals: ['InvalidCertificateError', 'InvalidNameError'],
      samples: () => samples.map(({ proposal }) => proposal),
      forged: () => misattributed,
    },
    {
      name: 'name certificate payload, signed',
      decode: async (bytes) => verifyCertificate(await signed(bytes), { nowMs: NOW_MS }),
      encode: payload,
      refusals: ['InvalidCertificateError'],
      samples: () => samples.map(({ certificate }) => payloadOf(certificate)),
      forged: () => misstated,
    },
    {
      name: 'name',
      decode: (bytes) => normaliseName(textFrom(bytes)),
      encode: (name: string) => Buffer.from(name),
      refusals: ['InvalidNameError'],
      samples: () =>
        [
          'ada',
          'Straße',
          'ΣΊΣΥΦΟΣ',
          'İzmir',
          'ひらカタ漢字ー',
          '한글漢字',
          'ㄅㄆ一',
          'okina-2',
          '१२३',
          'e\u0301'.normalize('NFKC'),
        ].map((name) => new Uint8Array(Buffer.from(name))),
      // 31 characters that belong to two scripts, and to three, before one that fits none of them: took minutes and years.
      regressions: [
        Buffer.from(`${'\u30fc'.repeat(31)}a`).toString('hex'),
        Buffer.from(`${'\u303c'.repeat(31)}a`).toString('hex'),
      ],
    },
  ],
};
