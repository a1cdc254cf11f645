import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commitPoints } from './commit-points.ts';

/** As much as fits into twenty seconds. The long run plays all of them. */
const SAMPLE = { steps: 3, kills: 4 };

void test('whoever is killed at a commit keeps what was promised', { timeout: 200_000 }, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const options = { seed, signal: t.signal, log: (line: string) => t.diagnostic(line), sample: SAMPLE };
  const { violations, killed, logs } = await commitPoints(options);
  if (violations.length > 0) process.stderr.write(logs);
  assert.deepEqual(violations, [], `seed ${seed}`);
  assert.ok(killed.length > 0);
});
