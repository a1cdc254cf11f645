import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import fc from 'fast-check';
import {
  countersign,
  InvalidCertificateError,
  isRenewalDue,
  MAX_CERTIFICATE_BYTES,
  openProposal,
  proposeCertificate,
  verifyCertificate,
} from './certificate.ts';
import { DEFAULT_LIFETIME_MS } from './lifetimes.ts';
import type { InvalidCertificateCode, NameCertificate } from './certificate.ts';
import { CertificatePayloadSchema, NameCertificateSchema } from './certificate_pb.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const TEN_YEARS_MS = 10 * 365 * 24 * 60 * 60 * 1000;

let owner: Ed25519PrivateKey;
let phonebook: Ed25519PrivateKey;
let other: Ed25519PrivateKey;

before(async () => {
  [owner, phonebook, other] = await Promise.all([
    generateKeyPair('Ed25519'),
    generateKeyPair('Ed25519'),
    generateKeyPair('Ed25519'),
  ]);
});

function request(changes: Partial<NameCertificate> = {}): Omit<NameCertificate, 'owner'> {
  return {
    name: 'bob',
    phonebook: phonebook.publicKey.toString(),
    seq: 1,
    expiresMs: NOW_MS + DEFAULT_LIFETIME_MS,
    ...changes,
  };
}

async function certificate(changes: Partial<NameCertificate> = {}): Promise<Uint8Array> {
  const proposal = await openProposal(await proposeCertificate(owner, request(changes)));
  return countersign(phonebook, proposal);
}

async function refused(verifying: Promise<unknown>, code: InvalidCertificateCode): Promise<void> {
  await assert.rejects(verifying, (error: unknown) => {
    assert.ok(error instanceof InvalidCertificateError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

/** A certificate with a payload its makers would refuse to sign, properly signed all the same. */
async function signedAnyway(
  change: (payload: { name: string; owner: string; seq: bigint }) => void,
): Promise<Uint8Array> {
  const { payload } = fromBinary(NameCertificateSchema, await certificate());
  const changed = fromBinary(CertificatePayloadSchema, payload);
  change(changed);
  const bytes = toBinary(CertificatePayloadSchema, changed);
  const ownerSignature = await owner.sign(
    Buffer.concat([Buffer.from('tincan-name-certificate:owner:1\0'), bytes]),
  );
  const proposal = { ...request(), owner: '', payload: bytes, ownerSignature };
  return countersign(phonebook, proposal);
}

void test('a certificate says what its two signers agreed on', async () => {
  const bytes = await certificate({ name: 'Bob', seq: 7 });
  assert.ok(bytes.byteLength < MAX_CERTIFICATE_BYTES);
  assert.deepEqual(await verifyCertificate(bytes, { nowMs: NOW_MS }), {
    name: 'bob',
    owner: owner.publicKey.toString(),
    phonebook: phonebook.publicKey.toString(),
    seq: 7,
    expiresMs: NOW_MS + DEFAULT_LIFETIME_MS,
  });
});

void test('the longest name fits', async () => {
  const bytes = await certificate({ name: '𠀀'.repeat(32), seq: Number.MAX_SAFE_INTEGER });
  assert.equal((await verifyCertificate(bytes, { nowMs: NOW_MS })).seq, Number.MAX_SAFE_INTEGER);
});

void test('any name, seq and time come through', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.stringMatching(/^[a-z0-9]{1,32}$/).filter((name) => !/^(12d3koow|16uiu2ha|baf|k|qm)/.test(name)),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.integer({ min: 1, max: DEFAULT_LIFETIME_MS }),
      async (name, seq, lifetimeMs) => {
        const wanted = request({ name, seq, expiresMs: NOW_MS + lifetimeMs });
        const proposal = await openProposal(await proposeCertificate(owner, wanted));
        const read = await verifyCertificate(await countersign(phonebook, proposal), { nowMs: NOW_MS });
        assert.deepEqual(read, { ...wanted, owner: owner.publicKey.toString() });
      },
    ),
    { numRuns: 30 },
  );
});

void test('no byte can be changed', async () => {
  const bytes = await certificate();
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const changed = Uint8Array.from(bytes);
      changed[at]! ^= flip;
      await assert.rejects(verifyCertificate(changed, { nowMs: NOW_MS }), {
        name: 'InvalidCertificateError',
      });
    }),
    { numRuns: 200 },
  );
});

void test('noise is malformed, and never anything worse', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (noise) => {
      await assert.rejects(verifyCertificate(noise, { nowMs: NOW_MS }), { name: 'InvalidCertificateError' });
      await assert.rejects(openProposal(noise), { name: 'InvalidCertificateError' });
    }),
  );
});

void test('forged and misplaced signatures', async () => {
  const genuine = fromBinary(NameCertificateSchema, await certificate());
  const encode = (fields: Partial<typeof genuine>): Uint8Array =>
    toBinary(NameCertificateSchema, create(NameCertificateSchema, { ...genuine, ...fields }));

  const byOther = await openProposal(await proposeCertificate(other, request()));
  await refused(
    verifyCertificate(encode({ ownerSignature: byOther.ownerSignature }), { nowMs: NOW_MS }),
    'bad-owner-signature',
  );
  const proposal = await openProposal(await proposeCertificate(owner, request()));
  await refused(
    verifyCertificate(await countersign(other, proposal), { nowMs: NOW_MS }),
    'bad-phonebook-signature',
  );
  await refused(
    verifyCertificate(encode({ phonebookSignature: genuine.ownerSignature }), { nowMs: NOW_MS }),
    'bad-phonebook-signature',
  );
  await refused(
    verifyCertificate(await proposeCertificate(owner, request()), { nowMs: NOW_MS }),
    'bad-phonebook-signature',
  );
});

void test('a clock ten years off is told from a forgery', async () => {
  const bytes = await certificate();
  await refused(verifyCertificate(bytes, { nowMs: NOW_MS + TEN_YEARS_MS }), 'expired');
  await refused(verifyCertificate(bytes, { nowMs: NOW_MS - TEN_YEARS_MS }), 'not-yet-valid');
  await refused(verifyCertificate(bytes, { nowMs: NOW_MS + DEFAULT_LIFETIME_MS }), 'expired');
  await verifyCertificate(bytes, { nowMs: NOW_MS + DEFAULT_LIFETIME_MS - 1 });
});

void test('values out of range are malformed though signed', async () => {
  const changes: ((payload: { name: string; owner: string; seq: bigint }) => void)[] = [
    (payload) => (payload.name = 'Bob'),
    (payload) => (payload.name = 'pаypal'),
    (payload) => (payload.seq = 0n),
    (payload) => (payload.seq = 2n ** 53n),
    (payload) => (payload.owner = 'bob'),
    (payload) => (payload.owner = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'),
  ];
  for (const change of changes) {
    await refused(verifyCertificate(await signedAnyway(change), { nowMs: NOW_MS }), 'malformed');
  }
});

void test('a certificate is renewed at half its time', () => {
  assert.equal(isRenewalDue({ expiresMs: NOW_MS + DEFAULT_LIFETIME_MS }, NOW_MS), false);
  assert.equal(isRenewalDue({ expiresMs: NOW_MS + DEFAULT_LIFETIME_MS / 2 - 1 }, NOW_MS), true);
  assert.equal(isRenewalDue({ expiresMs: NOW_MS - 1 }, NOW_MS), true);
});
