import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count, displayName, friendlyAge, friendlyTime, table } from './display.ts';

const now = new Date(2026, 10, 20, 12, 0, 0);
const at = (year: number, month: number, day: number, hour: number, minute: number) =>
  new Date(year, month - 1, day, hour, minute).toISOString();

void test('times are as long as they need to be', () => {
  assert.equal(friendlyTime(at(2026, 11, 20, 9, 5), now), '09:05');
  assert.equal(friendlyTime(at(2026, 11, 19, 9, 5), now), '11-19 09:05');
  assert.equal(friendlyTime(at(2025, 11, 20, 9, 5), now), '2025-11-20 09:05');
  assert.equal(friendlyTime('\u001bx', now), '\\x1bx');
});

void test('ages', () => {
  const ago = (ms: number) => friendlyAge(new Date(now.getTime() - ms).toISOString(), now);
  assert.deepEqual([-5000, 59_000, 60_000, 3_600_000, 86_400_000, 12 * 86_400_000].map(ago), [
    'just now',
    'just now',
    '1 min ago',
    '1 h ago',
    'yesterday',
    '12 days ago',
  ]);
});

void test('the petname goes before the name, the name before the peer id', () => {
  const peerId = '12D3KooWAAAAAAAABBBBBBBB';
  assert.equal(displayName({ peerId, name: 'ada', petname: 'sis' }), 'sis');
  assert.equal(displayName({ peerId, name: 'a\u001bda', petname: null }), 'a\\x1bda');
  assert.equal(displayName({ peerId, name: null }), '…BBBBBBBB');
});

void test('columns are aligned by characters', () => {
  assert.deepEqual(
    table([
      ['zoë', '1', 'x'],
      ['benjamin', '22', ''],
    ]),
    ['zoë       1   x', 'benjamin  22'],
  );
  assert.equal(count(1, 'message'), '1 message');
  assert.equal(count(0, 'message'), '0 messages');
});
