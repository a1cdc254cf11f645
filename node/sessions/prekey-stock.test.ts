import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LAST_RESORT_MS, PREKEY_LIFETIME_MS, prekeysDue, STOCK, STOCK_LOW } from './prekey-stock.ts';

const NOW_MS = Date.UTC(2026, 10, 20);

test('a stock is topped up when it is low', () => {
  const due = (left: number) => prekeysDue({ left, lastResortMadeMs: NOW_MS, nowMs: NOW_MS }).oneTime;
  assert.equal(due(STOCK), 0);
  assert.equal(due(STOCK_LOW), 0);
  assert.equal(due(STOCK_LOW - 1), 81);
  assert.equal(due(0), STOCK);
  // What a mailbox says is not to be believed.
  assert.equal(due(-1), STOCK);
  assert.equal(due(1e9), 0);
});

test('a last-resort prekey is replaced weekly, and when the clock was set back', () => {
  const due = (ageMs: number | undefined) =>
    prekeysDue({
      left: STOCK,
      lastResortMadeMs: ageMs === undefined ? undefined : NOW_MS - ageMs,
      nowMs: NOW_MS,
    }).lastResort;
  assert.ok(due(undefined));
  assert.ok(!due(0));
  assert.ok(!due(LAST_RESORT_MS - 1));
  assert.ok(due(LAST_RESORT_MS));
  assert.ok(!due(-60_000));
  assert.ok(due(-3600_000));
  assert.ok(LAST_RESORT_MS < PREKEY_LIFETIME_MS);
});
