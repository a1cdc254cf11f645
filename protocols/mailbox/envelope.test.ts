import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { encodeUnsealed, EnvelopeError, openEnvelope } from './envelope.ts';
import { EnvelopeSchema } from './envelope_pb.ts';
import { peerIdFromBytes, peerIdToBytes } from './peer-id-bytes.ts';

const alice = await generateKeyPair('Ed25519');
const bob = await generateKeyPair('Ed25519');
const aliceId = peerIdFromPrivateKey(alice);
const bobId = peerIdFromPrivateKey(bob);

const refusedAs = (code: string) => (error: unknown) => error instanceof EnvelopeError && error.code === code;

test('an envelope opens to what was put in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), fc.maxSafeNat(), async (bundle, nowMs) => {
      const bytes = await encodeUnsealed(alice, { recipient: bobId, bundle, nowMs });
      const opened = await openEnvelope(bytes, { recipient: bobId });
      assert.ok(opened.sender.equals(aliceId));
      assert.deepEqual(opened.bundle, bundle);
      assert.equal(opened.sentAtMs, nowMs);
      assert.equal(opened.sealed, false);
    }),
    { numRuns: 30 },
  );
});

test('whatever byte is changed, nothing but what was signed is read', async () => {
  const bytes = await encodeUnsealed(alice, { recipient: bobId, bundle: Buffer.from('hello'), nowMs: 1e12 });
  let refused = 0;
  for (let i = 0; i < bytes.length; i++) {
    const changed = bytes.slice();
    changed[i]! ^= 1;
    // A changed tag byte may still be read as the same field.
    const outcome = await openEnvelope(changed, { recipient: bobId }).catch((error: unknown) => error);
    if (outcome instanceof EnvelopeError) refused++;
    else assert.deepEqual(outcome, await openEnvelope(bytes, { recipient: bobId }), `byte ${i}`);
  }
  assert.ok(refused > bytes.length - 10);
});

test('garbage is refused with a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (garbage) => {
      await assert.rejects(openEnvelope(garbage, { recipient: bobId }), EnvelopeError);
    }),
  );
});

test('an envelope for somebody else is refused', async () => {
  const bytes = await encodeUnsealed(alice, { recipient: bobId, bundle: new Uint8Array(), nowMs: 1 });
  await assert.rejects(openEnvelope(bytes, { recipient: aliceId }), refusedAs('wrong-recipient'));
});

test('each field that can not be is refused as malformed, a missing signature as a bad one', async () => {
  const good = {
    $typeName: 'tincan.mailbox.v1.Unsealed',
    sender: peerIdToBytes(aliceId),
    recipient: peerIdToBytes(bobId),
    bundle: new Uint8Array(),
    sentAtMs: 1n,
    signature: new Uint8Array(),
  } as const;
  const envelope = (change: object): Uint8Array =>
    toBinary(
      EnvelopeSchema,
      create(EnvelopeSchema, { body: { case: 'unsealed', value: { ...good, ...change } } }),
    );
  const open = (change: object) => openEnvelope(envelope(change), { recipient: bobId });
  await assert.rejects(open({}), refusedAs('bad-signature'));
  await assert.rejects(open({ sender: new Uint8Array(3) }), refusedAs('malformed'));
  // The hash of a key, from which no signature can be checked.
  await assert.rejects(
    open({ sender: Uint8Array.of(0x12, 32, ...new Uint8Array(32)) }),
    refusedAs('malformed'),
  );
  await assert.rejects(open({ recipient: new Uint8Array(256) }), refusedAs('malformed'));
  await assert.rejects(open({ sentAtMs: 2n ** 63n }), refusedAs('malformed'));
  // Field 2, the sealed body of a later version.
  await assert.rejects(openEnvelope(Uint8Array.of(0x12, 0), { recipient: bobId }), refusedAs('malformed'));
});

test('peer ids survive as bytes, other bytes are none', async () => {
  const secp256k1 = peerIdFromPrivateKey(await generateKeyPair('secp256k1'));
  const hashed = Uint8Array.of(0x12, 32, ...new Uint8Array(32).fill(7));
  for (const bytes of [peerIdToBytes(aliceId), peerIdToBytes(secp256k1), hashed]) {
    assert.deepEqual(peerIdToBytes(peerIdFromBytes(bytes)!), bytes);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 33 }), (garbage) => {
      assert.equal(peerIdFromBytes(garbage), undefined);
    }),
  );
});
