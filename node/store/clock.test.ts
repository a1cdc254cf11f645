import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { clamp, earlier, later, MAX_AHEAD_MS, shift, tick } from './clock.ts';
import type { ClockReading } from './clock.ts';

const MAX_COUNT = 2 ** 32 - 1;

const readings = fc.record({
  ms: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
  count: fc.oneof(fc.integer({ min: 0, max: MAX_COUNT }), fc.constant(MAX_COUNT)),
});

/** As one number that is ordered as the readings are. */
const value = ({ ms, count }: ClockReading): bigint => BigInt(ms) * 2n ** 32n + BigInt(count);

test('every tick is later than the last and fits the wire, whatever the wall clock does', () => {
  fc.assert(
    fc.property(readings, fc.array(fc.integer({ min: 0, max: 4_000_000_000_000 })), (start, wall) => {
      let last = start;
      for (const nowMs of wall) {
        const next = tick(last, nowMs);
        assert.ok(value(next) > value(last));
        assert.ok(next.count >= 0 && next.count <= MAX_COUNT);
        last = next;
      }
    }),
  );
});

test('a shift moves by exactly so many counts, and a millisecond at the most', () => {
  fc.assert(
    fc.property(
      readings,
      fc.integer({ min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
      (reading, by) => {
        const limit = 2 ** 32;
        const expected = BigInt(Math.max(-limit, Math.min(limit, by)));
        assert.equal(value(shift(reading, by)) - value(reading), expected);
      },
    ),
  );
});

test('later and earlier pick by milliseconds, then by count', () => {
  fc.assert(
    fc.property(readings, readings, (a, b) => {
      const [low, high] = value(a) < value(b) ? [a, b] : [b, a];
      assert.deepEqual(later(a, b), high);
      assert.deepEqual(earlier(a, b), low);
    }),
  );
});

test('only a reading too far ahead is clamped', () => {
  const nowMs = 1_000_000;
  for (const [remote, expected] of [
    [
      { ms: nowMs + MAX_AHEAD_MS, count: 7 },
      { ms: nowMs + MAX_AHEAD_MS, count: 7 },
    ],
    [
      { ms: nowMs + MAX_AHEAD_MS + 1, count: 7 },
      { ms: nowMs + MAX_AHEAD_MS, count: 0 },
    ],
    [
      { ms: 0, count: 0 },
      { ms: 0, count: 0 },
    ],
  ] as const) {
    assert.deepEqual(clamp(remote, nowMs), expected);
  }
});
