import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { PREKEY_ID_BYTES } from './prekey-frames.ts';
import {
  openPrekey,
  PREKEY_BYTES,
  PrekeyError,
  prekeyId,
  signPrekey,
  XWING_PUBLIC_KEY_BYTES,
} from './prekey.ts';
import type { PrekeyErrorCode, PrekeyKind } from './prekey.ts';

const bob = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1));
const eve = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(2));
const owner = peerIdFromPrivateKey(bob);
const publicKey = new Uint8Array(XWING_PUBLIC_KEY_BYTES).fill(7);
const NOW_MS = Date.UTC(2026, 10, 20);
const good = { kind: 'one-time', publicKey, expiresMs: NOW_MS + 1 } as const;

const refusedAs = (code: PrekeyErrorCode) => (error: unknown) =>
  error instanceof PrekeyError && error.code === code;

test('a prekey opens to what was signed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<PrekeyKind>('one-time', 'last-resort'),
      fc.uint8Array({ minLength: XWING_PUBLIC_KEY_BYTES, maxLength: XWING_PUBLIC_KEY_BYTES }),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      async (kind, publicKey, expiresMs) => {
        const bytes = await signPrekey(bob, { kind, publicKey, expiresMs });
        assert.equal(bytes.byteLength, PREKEY_BYTES);
        const { id, ...read } = await openPrekey(bytes, { owner, nowMs: expiresMs - 1 });
        assert.deepEqual(
          { ...read, publicKey: Uint8Array.from(read.publicKey) },
          { kind, publicKey, expiresMs },
        );
        assert.deepEqual(id, prekeyId(publicKey));
        assert.equal(id.byteLength, PREKEY_ID_BYTES);
      },
    ),
    { numRuns: 30 },
  );
});

test('the id follows from the public key alone', () => {
  assert.deepEqual(prekeyId(publicKey), prekeyId(publicKey.slice()));
  assert.notDeepEqual(prekeyId(publicKey), prekeyId(new Uint8Array(XWING_PUBLIC_KEY_BYTES)));
});

test('whatever byte is changed, it is refused', async () => {
  const bytes = await signPrekey(bob, good);
  for (let i = 0; i < bytes.length; i += i < 12 || i > 1220 ? 1 : 50) {
    const changed = bytes.slice();
    changed[i]! ^= 1;
    await assert.rejects(openPrekey(changed, { owner, nowMs: 0 }), PrekeyError, `byte ${i}`);
  }
});

test("another's prekey, and one that is expired, are refused", async () => {
  const bytes = await signPrekey(bob, good);
  const evesOwn = await signPrekey(eve, good);
  await assert.rejects(openPrekey(evesOwn, { owner, nowMs: NOW_MS }), refusedAs('bad-signature'));
  await assert.rejects(
    openPrekey(bytes, { owner: peerIdFromPrivateKey(eve), nowMs: NOW_MS }),
    refusedAs('bad-signature'),
  );
  await assert.rejects(openPrekey(bytes, { owner, nowMs: NOW_MS + 1 }), refusedAs('expired'));
  await openPrekey(bytes, { owner, nowMs: NOW_MS });
});

test('other lengths, versions and kinds are malformed', async () => {
  const bytes = await signPrekey(bob, good);
  const malformed = [
    new Uint8Array(),
    bytes.subarray(1),
    Buffer.concat([bytes, bytes]),
    bytes.with(0, 0),
    bytes.with(0, 2),
    bytes.with(1, 0),
    bytes.with(1, 3),
    bytes.with(2, 0xff),
  ];
  for (const each of malformed) {
    await assert.rejects(openPrekey(each, { owner, nowMs: NOW_MS }), refusedAs('malformed'));
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), (garbage) =>
      assert.rejects(openPrekey(garbage, { owner, nowMs: 0 }), PrekeyError),
    ),
  );
});

test('what is no key or no time is not signed', async () => {
  await assert.rejects(signPrekey(bob, { ...good, publicKey: new Uint8Array(32) }), RangeError);
  await assert.rejects(signPrekey(bob, { ...good, expiresMs: -1 }), RangeError);
  await assert.rejects(signPrekey(bob, { ...good, expiresMs: 1.5 }), RangeError);
});
