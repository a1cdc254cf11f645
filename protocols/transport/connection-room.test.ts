import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leastNeeded } from './connection-room.ts';
import type { Candidate } from './connection-room.ts';

const NOW = 100_000;
const one = (group: string, openedMs: number, streams = 1): Candidate => ({ group, openedMs, streams });

void test('who has no use for a connection goes first, then the newest of whoever has most', () => {
  const used = [one('a', 1), one('a', 2), one('a', 3), one('b', 4)];
  assert.deepEqual(leastNeeded(used, NOW), one('a', 3));
  assert.deepEqual(leastNeeded([...used, one('b', 5, 0)], NOW), one('b', 5, 0));
  // One that has only just come may still want something.
  assert.deepEqual(leastNeeded([...used, one('b', NOW - 10, 0)], NOW), one('a', 3));
  assert.equal(leastNeeded([], NOW), undefined);
});
