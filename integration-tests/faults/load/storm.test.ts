import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storm } from './storm.ts';
import type { Outage } from './storm.ts';

const PEERS: Record<Outage, number> = { restart: 100, network: 50 };

/** Long enough for everybody to have tried. */
const GONE_MS = 1_500;

/** No storm takes this long on two busy cores. */
const STORM_MS = 150_000;

for (const outage of ['restart', 'network'] as const) {
  void test(`${PEERS[outage]} peers come back after an outage (${outage}), and nothing in their mailboxes is lost`, async (t) => {
    const signal = AbortSignal.any([t.signal, AbortSignal.timeout(STORM_MS)]);
    const report = await storm({
      seed: 1,
      peers: PEERS[outage],
      signal,
      log: (line) => t.diagnostic(line),
      outage,
      goneMs: GONE_MS,
      quietMs: 200,
    });
    assert.ok(Number.isFinite(report.renewedMs.last));
    assert.equal(report.blobs.missing, 0);
    assert.equal(report.blobs.twice, 0);
    assert.equal(report.blobs.collected, report.blobs.left);
    const lost = report.resolves.errors['the connection was lost'] ?? 0;
    const errors = Object.values(report.resolves.errors).reduce((sum, count) => sum + count, 0);
    assert.equal(errors, lost, JSON.stringify(report.resolves.errors));
    assert.ok(report.resolves.storm.count > 0);
  });
}
