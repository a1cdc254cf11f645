import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPrivateNetwork } from './private-network.ts';

void test('a network is private when none of its addresses is public', () => {
  const listen = ['/ip4/127.0.0.1/tcp/4001'];
  assert.equal(isPrivateNetwork({ listen, announce: [] }), true);
  assert.equal(isPrivateNetwork({ listen: ['/ip4/45.1.1.1/tcp/4001'], announce: [] }), false);
  assert.equal(isPrivateNetwork({ listen, announce: ['/ip4/192.168.1.2/tcp/4001'] }), true);
  assert.equal(
    isPrivateNetwork({ listen, announce: ['/ip4/192.168.1.2/tcp/4001', '/ip4/45.1.1.1/tcp/4001'] }),
    false,
  );
  assert.equal(isPrivateNetwork({ listen, announce: ['/dns4/chat.example.org/tcp/4001'] }), false);
});
