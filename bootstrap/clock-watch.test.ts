import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockWatch } from './clock-watch.ts';

const HOUR_MS = 3_600_000;

void test('a clock that is set is noticed once, and one that goes is not', () => {
  let nowMs = Date.UTC(2026, 10, 20);
  let elapsedMs = 0;
  const watch = clockWatch(
    () => nowMs,
    () => elapsedMs,
  );
  const pass = (ms: number, setMs = 0): boolean => {
    nowMs += ms + setMs;
    elapsedMs += ms;
    return watch.wasSet();
  };
  assert.equal(pass(HOUR_MS), false);
  assert.equal(pass(HOUR_MS, 2_000), false);
  assert.equal(pass(HOUR_MS, 87_600 * HOUR_MS), true);
  assert.equal(pass(HOUR_MS), false);
  assert.equal(pass(HOUR_MS, -HOUR_MS), true);
  assert.equal(pass(HOUR_MS), false);
});
