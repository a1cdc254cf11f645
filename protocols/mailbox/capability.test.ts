import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import {
  CAPABILITY_BYTES,
  MAX_CAPABILITY_LIFETIME_MS,
  openCapability,
  signCapability,
} from './capability.ts';
import { MAX_CAPABILITY_BYTES } from './protocol.ts';

const ben = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(2));
const carol = await generateKeyPair('Ed25519');
const recipient = peerIdFromPrivateKey(ben);
const depositor = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1)));
const somebody = peerIdFromPrivateKey(carol);

const times = { issuedMs: 1000, expiresMs: 2000 };
const open = (
  bytes: Uint8Array,
  change: { recipient?: PeerId; depositor?: PeerId; nowMs?: number } = {},
): Promise<unknown> => openCapability(bytes, { recipient, depositor, nowMs: 1999, ...change });
const refused = (code: string) => ({ name: 'CapabilityError', code });

void test('what a recipient signs for a depositor opens for these two', async () => {
  const capability = await signCapability(ben, { depositor, ...times });
  assert.equal(capability.byteLength, CAPABILITY_BYTES);
  assert.ok(CAPABILITY_BYTES <= MAX_CAPABILITY_BYTES);
  assert.deepEqual(await open(capability), times);
  await assert.rejects(open(capability, { nowMs: 2000 }), refused('expired'));
  await assert.rejects(open(capability, { depositor: somebody }), refused('wrong-depositor'));
  await assert.rejects(open(capability, { recipient: somebody }), refused('bad-signature'));
  await assert.rejects(open(await signCapability(carol, { depositor, ...times })), refused('bad-signature'));
  const forOther = await signCapability(ben, { depositor: somebody, ...times });
  await assert.rejects(open(forOther), refused('wrong-depositor'));
});

void test('a recipient whose peer id holds no Ed25519 key has signed nothing', async () => {
  const capability = await signCapability(ben, { depositor, ...times });
  const other = peerIdFromPrivateKey(await generateKeyPair('secp256k1'));
  await assert.rejects(open(capability, { recipient: other }), refused('bad-signature'));
  await assert.rejects(open(capability, { depositor: other }), refused('wrong-depositor'));
  await assert.rejects(signCapability(ben, { depositor: other, ...times }), { name: 'RangeError' });
});

void test('no byte of it can be changed', async () => {
  const capability = await signCapability(ben, { depositor, ...times });
  for (let at = 0; at < capability.byteLength; at++) {
    const changed = Uint8Array.from(capability);
    changed[at]! ^= 1;
    await assert.rejects(open(changed), { name: 'CapabilityError' }, `byte ${at}`);
  }
  await assert.rejects(open(capability.subarray(1)), refused('malformed'));
  await assert.rejects(open(Buffer.concat([capability, Uint8Array.of(0)])), refused('malformed'));
  await assert.rejects(open(new Uint8Array(0)), refused('malformed'));
});

void test('times that can not be are not signed, and not read', async () => {
  for (const bad of [
    { issuedMs: -1, expiresMs: 2 },
    { issuedMs: 0.5, expiresMs: 2 },
    { issuedMs: 1, expiresMs: 2 ** 53 },
    { issuedMs: 3, expiresMs: 2 },
    { issuedMs: 0, expiresMs: MAX_CAPABILITY_LIFETIME_MS + 1 },
  ]) {
    await assert.rejects(signCapability(ben, { depositor, ...bad }), { name: 'RangeError' });
  }
  const longest = { issuedMs: 1, expiresMs: MAX_CAPABILITY_LIFETIME_MS + 1 };
  const capability = await signCapability(ben, { depositor, ...longest });
  assert.deepEqual(await open(capability), longest);
  const numbers = Buffer.from(capability);
  for (const [issued, expires] of [
    [0n, BigInt(MAX_CAPABILITY_LIFETIME_MS + 1)],
    [2n, 1n],
    [2n ** 53n, 2n ** 53n],
    [1n, 2n ** 64n - 1n],
  ] as const) {
    numbers.writeBigUInt64BE(issued, 39);
    numbers.writeBigUInt64BE(expires, 47);
    await assert.rejects(open(numbers), refused('malformed'));
  }
});

void test('garbage is refused with a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.uint8Array({ minLength: CAPABILITY_BYTES, maxLength: CAPABILITY_BYTES }),
      ),
      (garbage) => assert.rejects(open(garbage), { name: 'CapabilityError' }),
    ),
  );
});
