import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { peerIdFromBytes, peerIdToBytes } from './peer-id-bytes.ts';

test('a peer id outlives the network chunk it was read from', async () => {
  const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
  const chunk = Buffer.concat([new Uint8Array(1000), peerIdToBytes(peerId)]);
  const read = peerIdFromBytes(chunk.subarray(1000))!;
  chunk.fill(0);
  assert.ok(read.equals(peerId));
  assert.equal(peerIdToBytes(read).buffer.byteLength, peerIdToBytes(peerId).byteLength);
});
