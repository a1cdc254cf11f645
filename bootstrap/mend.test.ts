import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { loadOrCreateIdentity } from '../protocols/transport/identity-file.ts';
import { examineBootstrap } from './doctor.ts';
import { prekeyLimits } from './prekey-limits.ts';
import { PREKEY_ROW_BYTES, prekeyTable } from './prekey-table.ts';
import { migrate } from './schema.ts';

const OWNERS = 40;
const BYTES = 1_300;
const PAGE_BYTES = 4_096;

const ownerOf = (number: number): Uint8Array => Buffer.from(`owner ${number}`);
const prekey = (number: number) => ({
  id: new Uint8Array(16).fill(number),
  expiresMs: 10,
  prekey: new Uint8Array(BYTES).fill(number),
});

/** Opens a store for its prekeys. */
function openPrekeys(file: string) {
  const database = new DatabaseSync(file);
  return { database, ...prekeyTable(database, prekeyLimits({ mailboxTotalBytes: 1024 ** 3 })) };
}

test('the doctor finds a store with prekeys whole, and makes a damaged one whole again', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mend-'));
  t.after(() => rm(dataDir, { recursive: true }));
  await loadOrCreateIdentity(join(dataDir, 'identity.key'));
  const file = join(dataDir, 'bootstrap.db');
  const made = new DatabaseSync(file);
  migrate(made);
  made.close();
  const before = openPrekeys(file);
  for (let owner = 0; owner < OWNERS; owner++) {
    before.operations['prekeys.publish']({
      owner: ownerOf(owner),
      oneTime: [prekey(1), prekey(2)],
      lastResort: prekey(3),
      replace: false,
      nowMs: 1,
    });
  }
  before.database.close();
  const options = { repair: false, startEmpty: false, nowMs: Date.now() };
  const whole = await examineBootstrap(dataDir, options);
  assert.ok(whole.ok, JSON.stringify(whole.checks));
  const untouched = openPrekeys(file);
  assert.equal(untouched.operations['prekeys.totals'](null).bytes, OWNERS * 3 * (PREKEY_ROW_BYTES + BYTES));
  untouched.database.close();

  const handle = await open(file, 'r+');
  const { size } = await handle.stat();
  const middle = Math.floor(size / PAGE_BYTES / 2) * PAGE_BYTES;
  await handle.write(new Uint8Array(PAGE_BYTES).fill(0xa5), 0, PAGE_BYTES, middle);
  await handle.close();
  assert.equal((await examineBootstrap(dataDir, options)).ok, false);
  const repaired = await examineBootstrap(dataDir, { ...options, repair: true });
  assert.ok(repaired.ok, JSON.stringify(repaired.checks));

  const { database, operations } = openPrekeys(file);
  let left = 0;
  for (let owner = 0; owner < OWNERS; owner++) {
    const { taken } = operations['prekeys.take']({ owner: ownerOf(owner), oneTime: true, nowMs: 1 });
    if (taken === undefined) continue;
    left++;
    assert.equal(taken.lastResort, true, 'none that may have been handed out before');
    assert.deepEqual(taken.prekey, prekey(3));
  }
  assert.ok(left >= OWNERS - 4 && left < OWNERS, `${left} last-resort prekeys`);
  assert.equal(operations['prekeys.totals'](null).bytes, left * (PREKEY_ROW_BYTES + BYTES));
  database.close();
});
