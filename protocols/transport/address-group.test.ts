import assert from 'node:assert/strict';
import { test } from 'node:test';
import { multiaddr } from '@multiformats/multiaddr';
import { addressGroup } from './address-group.ts';

void test('an IPv4 address is a group, and so are the first 64 bits of an IPv6 one', () => {
  for (const [address, group] of [
    ['/ip4/192.0.2.7/tcp/4001', '192.0.2.7'],
    ['/ip6/2001:db8:1:2:3:4:5:6/tcp/4001', '2001:db8:1:2'],
    ['/ip6/2001:db8:1:2::9/tcp/1', '2001:db8:1:2'],
    ['/ip6/2001:db8::9/tcp/1', '2001:db8:0:0'],
    ['/ip6/::1/tcp/1', '0:0:0:0'],
    ['/ip6/::ffff:192.0.2.7/tcp/1', '192.0.2.7'],
    ['/dns4/example.net/tcp/1', 'example.net'],
  ] as const) {
    assert.equal(addressGroup(multiaddr(address)), group, address);
  }
});
