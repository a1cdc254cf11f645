import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { step } from './chain.ts';
import { decapsulate, encapsulate } from './hpke.ts';
import { takeSealed } from './incoming.ts';
import type { IncomingSession } from './incoming.ts';
import type { OwnPrekey } from './prekeys.ts';
import { xWingPublicKey } from './x-wing.ts';
import { peerIdFromBytes } from '../../protocols/mailbox/peer-id-bytes.ts';
import { isSignedBy, openPrekey, PrekeyError, prekeyId } from '../../protocols/mailbox/prekey.ts';
import { readSealed, SealedError, sessionInfo } from '../../protocols/mailbox/sealed.ts';
import { prekeyVectors, sealedVectors, VECTORS } from './sealed-vectors.ts';
import type { PrekeyVectors, SealedVectors } from './sealed-vectors.ts';

const load = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(name, VECTORS), 'utf8'));
const prekeys = (await load('prekey.json')) as PrekeyVectors;
const sealed = (await load('sealed.json')) as SealedVectors;

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

test('the vectors are those that our code makes (else: npm run vectors)', async () => {
  assert.deepEqual(await prekeyVectors(), prekeys);
  assert.deepEqual(await sealedVectors(), sealed);
});

test('the prekeys of the vectors are good', async () => {
  for (const { ownerSeed, owner, kind, expiresMs, secretKey, publicKey, id, bundle } of prekeys.prekeys) {
    const identity = await generateKeyPairFromSeed('Ed25519', bytes(ownerSeed));
    assert.equal(hex(identity.publicKey.toMultihash().bytes), owner);
    assert.equal(hex(xWingPublicKey(bytes(secretKey))), publicKey);
    assert.equal(hex(prekeyId(bytes(publicKey))), id);
    const read = await openPrekey(bytes(bundle), {
      owner: peerIdFromBytes(bytes(owner))!,
      nowMs: prekeys.nowMs,
    });
    assert.deepEqual(
      { ...read, id: hex(read.id), publicKey: hex(read.publicKey) },
      { id, kind, publicKey, expiresMs },
    );
  }
});

test('the prekeys that are none are refused', async () => {
  const owner = peerIdFromBytes(bytes(prekeys.prekeys[0]!.owner))!;
  for (const { why, code, bundle } of prekeys.refused) {
    await assert.rejects(
      openPrekey(bytes(bundle), { owner, nowMs: prekeys.nowMs }),
      (error) => error instanceof PrekeyError && error.code === code,
      why,
    );
  }
});

const recipient = bytes(sealed.recipient);
const prekey: OwnPrekey = {
  id: bytes(sealed.prekey.id),
  kind: 'one-time',
  publicKey: bytes(sealed.prekey.publicKey),
  expiresMs: prekeys.nowMs + 1,
  secretKey: bytes(sealed.prekey.secretKey),
};

/** Takes the blobs of the vectors in this order; what the recipient is left with. */
async function takeAll(order: readonly number[]): Promise<IncomingSession | undefined> {
  let session: IncomingSession | undefined;
  for (const index of order) {
    const { blob, content } = sealed.blobs[index]!;
    const taken = await takeSealed(readSealed(bytes(blob)), { recipient, nowMs: 0, session, prekey });
    assert.equal(hex(taken.content), content);
    assert.equal(hex(taken.sender), sealed.sender);
    ({ session } = taken);
  }
  return session;
}

test('keys, signature and chain of the session in the vectors follow from its secrets', async () => {
  const info = sessionInfo(recipient, prekey.id);
  const coins = bytes(sealed.coins);
  const { kemCiphertext, chainKey } = await encapsulate({ publicKey: prekey.publicKey, info, coins });
  assert.equal(hex(kemCiphertext), sealed.kemCiphertext);
  assert.equal(hex(chainKey), sealed.firstChainKey);
  assert.deepEqual(await decapsulate({ secretKey: prekey.secretKey, kemCiphertext, info }), chainKey);
  assert.ok(await isSignedBy(bytes(sealed.sender), bytes(sealed.openingText), bytes(sealed.signature)));
  let current = chainKey;
  for (const { messageKeys, nextChainKey } of sealed.steps) {
    const next = step(current);
    assert.deepEqual(next.messageKeys.map(hex), messageKeys);
    assert.equal(hex(next.nextChainKey), nextChainKey);
    current = next.nextChainKey;
  }
});

test('the blobs of the vectors open, in any order that begins with an opening', async () => {
  for (const order of [
    [0, 1, 2, 3, 4],
    [1, 4, 0, 3, 2],
  ]) {
    const session = await takeAll(order);
    assert.ok(session !== undefined);
    assert.equal(session.chain.next, 8);
    assert.equal(hex(session.chain.chainKey), sealed.steps[0]!.nextChainKey);
    assert.deepEqual(
      session.chain.keys.map(({ key }) => hex(key)),
      sealed.steps[0]!.messageKeys.slice(5),
    );
  }
});

test('the blobs that do not open are refused with their codes', async () => {
  const all = await takeAll([0, 1, 2, 3, 4]);
  for (const { why, code, after, of, at, bytes: replaced, blob } of sealed.refused) {
    const changed = bytes(blob ?? sealed.blobs[of!]!.blob);
    if (at !== undefined) changed.set(bytes(replaced!), at);
    const session = after === 'all' ? all : undefined;
    await assert.rejects(
      async () => takeSealed(readSealed(changed), { recipient, nowMs: 0, session, prekey }),
      (error) => error instanceof SealedError && error.code === code,
      why,
    );
  }
});
