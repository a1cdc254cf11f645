import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerRate, sharedRate } from './peer-rate.ts';

test('a bucket gives a minute at once, then refills evenly', () => {
  const rate = peerRate(60);
  for (const [nowMs, count, granted, retryAfterMs] of [
    [0, 50, 50, 0],
    [0, 20, 10, 10_000],
    [500, 1, 0, 500],
    [1000, 1, 1, 0],
    [1000, 1, 0, 1000],
    // More than a bucket holds: come back when it is full.
    [2000, 1000, 1, 60_000],
    [3_600_000, 100, 60, 40_000],
    // A clock set back refills nothing and takes nothing.
    [0, 1, 0, 1000],
    [1000, 2, 1, 1000],
  ] as const) {
    assert.deepEqual(rate.take('a', count, nowMs), { granted, retryAfterMs }, `${count} at ${nowMs}`);
  }
});

test('peers do not share a bucket', () => {
  const rate = peerRate(2);
  assert.equal(rate.take('a', 2, 0).granted, 2);
  assert.equal(rate.take('b', 2, 0).granted, 2);
  assert.equal(rate.take('a', 1, 0).granted, 0);
});

test('only so many peers are remembered, the latest', () => {
  const rate = peerRate(1);
  for (let i = 0; i <= 10_000; i++) rate.take(`${i}`, 1, 0);
  assert.equal(rate.take('10000', 1, 0).granted, 0);
  assert.equal(rate.take('0', 1, 0).granted, 1);
});

test('peers of one address share what the address may', () => {
  const rate = sharedRate(10, { burst: 15, perSecond: 1 }, (peer) => peer.split('@')[1]);
  assert.deepEqual(rate.take('a@1', 12, 0), { granted: 10, retryAfterMs: 12_000 });
  assert.deepEqual(rate.take('b@1', 10, 0), { granted: 5, retryAfterMs: 5_000 });
  assert.equal(rate.take('c@1', 1, 0).granted, 0);
  assert.equal(rate.take('d@2', 1, 0).granted, 1);
  // One that is not connected has only its own.
  assert.equal(rate.take('e', 10, 0).granted, 10);
});
