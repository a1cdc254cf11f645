import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration } from './duration.ts';

void test('durations', () => {
  assert.deepEqual(['10s', '500ms', '2m', '1.5s', '3', '', 's', '-1s', '1h'].map(parseDuration), [
    10_000,
    500,
    120_000,
    1500,
    3000,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
