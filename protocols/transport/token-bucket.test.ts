import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenBucket } from './token-bucket.ts';

void test('a bucket gives its burst, then refills, and says when to come back', () => {
  const bucket = tokenBucket({ burst: 10, perSecond: 2 });
  for (const [nowMs, count, granted, retryAfterMs] of [
    [5_000, 8, 8, 0],
    [5_000, 4, 2, 1_000],
    [5_500, 1, 1, 0],
    [5_500, 1, 0, 500],
    // A clock that was set back.
    [0, 1, 0, 500],
    [60_000, 100, 10, 5_000],
  ] as const) {
    assert.deepEqual(bucket.take(count, nowMs), { granted, retryAfterMs }, `${count} at ${nowMs}`);
  }
});

void test('what can not be done in part is taken whole, or not at all', () => {
  const bucket = tokenBucket({ burst: 10, perSecond: 2 });
  for (const [nowMs, count, retryAfterMs] of [
    [5_000, 8, 0],
    [5_000, 3, 500],
    [5_000, 2, 0],
    [5_000, 0, 0],
    [5_500, 10, 4_500],
    [10_000, 10, 0],
    // More than there ever is.
    [60_000, 11, 1],
    [60_000, 10, 0],
  ] as const) {
    assert.equal(bucket.takeAll(count, nowMs), retryAfterMs, `${count} at ${nowMs}`);
  }
});
