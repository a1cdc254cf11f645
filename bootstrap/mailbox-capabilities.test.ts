import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { CAPABILITY_BYTES, signCapability } from '../protocols/mailbox/capability.ts';
import { peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { capabilityChecks } from './mailbox-capabilities.ts';
import { NO_CAPABILITY } from './mailbox-table.ts';

const keys = await Promise.all(Array.from({ length: 8 }, () => generateKeyPair('Ed25519')));
const depositor = peerIdFromPrivateKey(keys[0]!);
const deposits = await Promise.all(
  keys.map(async (key, issuedMs) => ({
    recipient: key.publicKey.toMultihash().bytes,
    capability: await signCapability(key, { depositor, issuedMs, expiresMs: 100 }),
  })),
);
const times = keys.map((_, issuedMs) => issuedMs);

void test('a signature is looked at once, for as long as its pair is remembered', async () => {
  const { issuedMs, counts } = capabilityChecks({ remembered: 100 });
  for (let time = 0; time < 3; time++) {
    // New bytes each time, as off the wire.
    const received = deposits.map(({ recipient, capability }) => ({
      recipient: Uint8Array.from(recipient),
      capability: Uint8Array.from(capability),
    }));
    assert.deepEqual(await issuedMs(depositor, received, 5), times);
    assert.equal(counts().valid, keys.length);
  }
  assert.deepEqual(
    await issuedMs(depositor, deposits, 100),
    times.map(() => NO_CAPABILITY),
  );
  const other = peerIdFromPrivateKey(keys[1]!);
  assert.deepEqual(
    await issuedMs(other, deposits, 5),
    times.map(() => NO_CAPABILITY),
  );
});

void test('no more are remembered than that, and those in use longest', async () => {
  const { issuedMs, counts } = capabilityChecks({ remembered: 4 });
  const [first] = deposits;
  for (const deposit of deposits.slice(1)) {
    await issuedMs(depositor, [deposit], 5);
    await issuedMs(depositor, [first!], 5);
  }
  assert.equal(counts().valid, keys.length, 'the first one once');
  await issuedMs(depositor, [deposits[1]!], 5);
  assert.equal(counts().valid, keys.length + 1);
});

void test('a newer capability takes the place of the one before, and a forged one of none', async () => {
  const { issuedMs, counts } = capabilityChecks();
  const [, one] = deposits;
  const capability = await signCapability(keys[1]!, { depositor, issuedMs: 50, expiresMs: 60 });
  const newer = { recipient: peerIdToBytes(peerIdFromPrivateKey(keys[1]!)), capability };
  const forged = { ...newer, capability: capability.with(CAPABILITY_BYTES - 1, capability.at(-1)! ^ 1) };
  const none = { ...newer, capability: new Uint8Array(0) };
  assert.deepEqual(await issuedMs(depositor, [one!, newer, forged, none, newer], 5), [
    1,
    50,
    NO_CAPABILITY,
    NO_CAPABILITY,
    50,
  ]);
  assert.deepEqual(counts(), { valid: 2, invalid: 1 });
});
