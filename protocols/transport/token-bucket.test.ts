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
