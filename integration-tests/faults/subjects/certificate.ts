import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CertificatePayloadSchema,
  NameCertificateSchema,
} from '../../../protocols/phonebook/certificate_pb.ts';
import { countersign, openProposal, verifyCertificate } from '../../../protocols/phonebook/certificate.ts';
import type { NameCertificate, Proposal } from '../../../protocols/phonebook/certificate.ts';
import { normaliseName } from '../../../protocols/phonebook/name.ts';
import { ada, certify, NOW_MS, phonebook } from '../fuzz/fuzz-papers.ts';
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

export const subject: Subject = {
  name: 'certificate',
  decoders: [
    {
      name: 'name certificate',
      decode: (bytes) => verifyCertificate(bytes, { nowMs: NOW_MS }),
      refusals: ['InvalidCertificateError'],
      samples: () => samples.map(({ certificate }) => certificate),
    },
    {
      name: 'name certificate proposal',
      decode: openProposal,
      encode: (proposal: Proposal) =>
        toBinary(NameCertificateSchema, create(NameCertificateSchema, { ...proposal })),
      refusals: ['InvalidCertificateError', 'InvalidNameError'],
      samples: () => samples.map(({ proposal }) => proposal),
    },
    {
      name: 'name certificate payload, signed',
      decode: async (bytes) => verifyCertificate(await signed(bytes), { nowMs: NOW_MS }),
      encode: payload,
      refusals: ['InvalidCertificateError'],
      samples: () => samples.map(({ certificate }) => payloadOf(certificate)),
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
