import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostile } from './hostile.ts';
import { hostileTable } from './hostile-report.ts';

/** Of each program's attacks, all at once. */
const SECONDS = 5;

const SEED = 20_261_120;

void test('under every attack at once nothing ends, nothing is lost, and the limits hold', async (t) => {
  const report = await hostile({
    seed: SEED,
    seconds: SECONDS,
    together: true,
    signal: t.signal,
    log: () => undefined,
  });
  t.diagnostic(hostileTable(report));
  assert.deepEqual(report.broken, []);
  for (const { against, attack, broken } of report.rows) {
    assert.deepEqual(broken, [], `${attack} against a ${against}`);
  }
});
