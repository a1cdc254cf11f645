import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs, REACH_BACKOFF } from './backoff.ts';

test('the wait doubles from two seconds to two minutes; chance takes up to half of it away', () => {
  for (const [failures, random, expected] of [
    [1, 0, 1_000],
    [1, 0.5, 1_500],
    [2, 0, 2_000],
    [3, 0.5, 6_000],
    [6, 0, 32_000],
    [7, 0, 60_000],
    [8, 0.5, 90_000],
    [1_000_000, 0, 60_000],
  ] as const) {
    assert.equal(backoffMs(failures, random), expected, `${failures} failures, random ${random}`);
  }
});

test('whatever the failures and chance, the wait is between half the first and the longest, and never shrinks', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.record({
        firstMs: fc.integer({ min: 1, max: 10_000 }),
        longestMs: fc.integer({ min: 10_000, max: 1e9 }),
      }),
      (failures, random, limits) => {
        for (const limit of [limits, REACH_BACKOFF]) {
          const ms = backoffMs(failures, random, limit);
          assert.ok(ms >= limit.firstMs / 2 && ms <= limit.longestMs);
          assert.ok(backoffMs(failures + 1, random, limit) >= ms);
        }
      },
    ),
  );
});
