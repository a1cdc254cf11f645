import assert from 'node:assert/strict';
import { test } from 'node:test';
import { multiaddr } from '@multiformats/multiaddr';
import './multiaddr-limits.ts';

/** `/p2p/` with a peer id of so many bytes. */
function withPeerId(length: number): Uint8Array {
  const prefix = length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
  return Uint8Array.of(0xa5, 0x03, ...prefix, ...new Uint8Array(length).fill(0xff));
}

void test('peer ids of every kind are read as before', () => {
  for (const peerId of [
    '12D3KooWGzBq5VLxBkDbvBmGLgpN9kT8HmY8eVh3Cq1ygMdCpYEq',
    'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
  ]) {
    const address = multiaddr(`/ip4/192.0.2.1/tcp/1/p2p/${peerId}`);
    assert.equal(multiaddr(address.bytes).toString(), `/ip4/192.0.2.1/tcp/1/p2p/${peerId}`);
  }
  assert.match(multiaddr(withPeerId(64)).toString(), /^\/p2p\//);
});

void test('longer ones than there are take no time to refuse', () => {
  const { user: before } = process.cpuUsage();
  assert.throws(() => multiaddr(withPeerId(65)), { name: 'InvalidMessageError' });
  assert.throws(() => multiaddr(withPeerId(16_000)), { name: 'InvalidMessageError' });
  assert.throws(() => multiaddr(`/p2p/Qm${'z'.repeat(200_000)}`).bytes);
  assert.ok(process.cpuUsage().user - before < 500_000);
});
