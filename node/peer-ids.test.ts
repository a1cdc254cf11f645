import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { parsePeerId, peerIdOf } from './peer-ids.ts';

void test('the peer id of an Ed25519 key in base58 is one, nothing else is', async () => {
  const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
  const text = peerId.toString();
  assert.ok(parsePeerId(text)?.equals(peerId));
  assert.equal(parsePeerId(text), parsePeerId(text));
  assert.ok(peerIdOf(text).equals(peerId));
  for (const other of [
    peerId.toCID().toString(),
    peerIdFromPrivateKey(await generateKeyPair('secp256k1')).toString(),
    peerIdFromPrivateKey(await generateKeyPair('RSA', 2048)).toString(),
    ` ${text}`,
    text.toLowerCase(),
    '',
    'bob',
  ]) {
    assert.equal(parsePeerId(other), undefined, other);
    assert.throws(() => peerIdOf(other), TypeError);
  }
});

void test('any text is a peer id or undefined', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string({ minLength: 52, maxLength: 52 }),
    fc.string({ minLength: 44, maxLength: 44 }).map((text) => `12D3KooW${text}`),
  );
  fc.assert(
    fc.property(texts, (text) => parsePeerId(text)?.toString() === text || parsePeerId(text) === undefined),
  );
});
