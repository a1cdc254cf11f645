import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { encodeFrames } from '../framing/frames.ts';
import { countersign, openProposal, proposeCertificate, verifyCertificate } from './certificate.ts';
import { codeOf } from './errors.ts';
import { AnswerSchema, RequestSchema, Status } from './phonebook_pb.ts';

const README = readFileSync(new URL('README.md', import.meta.url), 'utf8');
const NOW_MS = Date.UTC(2026, 10, 20);

function bytesOf(title: string): string {
  const block = new RegExp(`\`\`\`hex ${title}\n([0-9a-f\\s]+)\`\`\``).exec(README);
  return block![1]!.replaceAll(/\s/g, '');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

void test('the certificate in the README is the one our keys make', async () => {
  const owner = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1));
  const phonebook = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(2));
  const expiresMs = Date.UTC(2026, 11, 20);
  const wanted = { name: 'bob', phonebook: phonebook.publicKey.toString(), seq: 1, expiresMs };
  const certificate = await countersign(
    phonebook,
    await openProposal(await proposeCertificate(owner, wanted)),
  );
  assert.equal(hex(certificate), bytesOf('certificate'));
  const read = await verifyCertificate(Buffer.from(bytesOf('certificate'), 'hex'), { nowMs: NOW_MS });
  assert.deepEqual(read, { ...wanted, owner: owner.publicKey.toString() });
});

void test('the exchange in the README is what goes over the wire', () => {
  const resolve = { key: { case: 'name' as const, value: 'bob' } };
  const request = create(RequestSchema, { body: { case: 'resolve', value: resolve } });
  assert.equal(hex(encodeFrames([toBinary(RequestSchema, request)])), bytesOf('request'));
  const answer = create(AnswerSchema, { status: Status.NOT_FOUND, timeMs: BigInt(NOW_MS) });
  assert.equal(hex(encodeFrames([toBinary(AnswerSchema, answer)])), bytesOf('answer'));
});

void test('the README lists every status', () => {
  const listed = Array.from(README.matchAll(/^\| (\d+) +\| `([a-z-]+)`/gm), ([, status, code]) => [
    Number(status),
    code,
  ]);
  const statuses = Object.values(Status).filter((status) => typeof status === 'number' && status > Status.OK);
  assert.deepEqual(
    listed,
    statuses.map((status) => [status, codeOf(status)]),
  );
});
