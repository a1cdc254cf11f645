import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMultiaddr } from './addresses.ts';

void test('what was read can be written out', () => {
  parseMultiaddr('bootstrap', '/unix/a\ud800').toString();
});

void test('a configured address is as it was given, or refused with the name of its setting', () => {
  for (const text of ['/ip4/192.0.2.1/tcp/4001', '/dns4/node.example/tcp/443/tls/ws'])
    assert.equal(parseMultiaddr('bootstrap', text).toString(), text);
  // The last one takes long to read.
  for (const text of ['x', '/ip4/1/tcp/1', '/p2p/zzz', '/'.repeat(20_000)])
    assert.throws(
      () => parseMultiaddr('bootstrap', text),
      { name: 'InvalidParametersError', message: /^bootstrap: / },
      text,
    );
});
