import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { loadOrCreateIdentity } from '../protocols/transport/identity-file.ts';
import { examineBootstrap } from './doctor.ts';
import { mailboxBlockLimits } from './mailbox-block-limits.ts';
import { mailboxLimits } from './mailbox-limits.ts';
import { mailboxTable, NO_CAPABILITY } from './mailbox-table.ts';
import { prekeyLimits } from './prekey-limits.ts';
import { PREKEY_ROW_BYTES, prekeyTable } from './prekey-table.ts';
import { BOOTSTRAP_STORE_VERSION, migrate } from './schema.ts';

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

const config = {
  mailboxBlobs: 1000,
  mailboxBytes: 16 * 1024 ** 2,
  mailboxBlobsPerSender: 128,
  mailboxTotalBytes: 1024 ** 3,
  depositsPerMinute: 1000,
};

/** Opens a store for its mailboxes. */
function openMailboxes(file: string) {
  const database = new DatabaseSync(file);
  return { database, ...mailboxTable(database, mailboxLimits(config), mailboxBlockLimits(config)) };
}

const ID_BYTES = 32;
const BLOB_BYTES = 2_000;

/** One blob for a recipient. */
function deposit(recipient: Uint8Array, issuedMs: number, content: number) {
  const blob = new Uint8Array(BLOB_BYTES).fill(content);
  return {
    nowMs: 1,
    depositor: Buffer.from('depositor'),
    recipients: [recipient],
    fields: Float64Array.of(0, 1e15, ID_BYTES + BLOB_BYTES, issuedMs),
    bytes: new Uint8Array(Buffer.concat([hash('sha256', blob, 'buffer'), blob])),
  };
}

test('the doctor reads blobs of an older version beside newer ones, and counts blocks anew', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mend-'));
  t.after(() => rm(dataDir, { recursive: true }));
  await loadOrCreateIdentity(join(dataDir, 'identity.key'));
  const file = join(dataDir, 'bootstrap.db');
  const made = new DatabaseSync(file);
  migrate(made, BOOTSTRAP_STORE_VERSION - 1);
  const blob = new Uint8Array(BLOB_BYTES).fill(9);
  const id = hash('sha256', blob, 'buffer');
  made.prepare('INSERT INTO mailbox_peer VALUES (1, ?, 1)').run(ownerOf(0));
  const old = made.prepare('INSERT INTO mailbox_blob VALUES (?, 1, 1, 1, 1000000000000000, ?, ?)');
  for (let number = 1; number <= 20; number++) old.run(number, id, blob);
  migrate(made);
  made.close();
  const before = openMailboxes(file);
  for (let owner = 1; owner <= OWNERS; owner++) {
    for (const [content, issuedMs] of [NO_CAPABILITY, 0].entries()) {
      before.operations['mailbox.deposit'](deposit(ownerOf(owner), issuedMs, content));
    }
    before.operations['mailbox.block']({
      owner: ownerOf(owner),
      block: [Buffer.from('pest'), Buffer.from('bore')],
      unblock: [],
      atMs: 5,
      nowMs: 5,
    });
  }
  before.database.close();
  const options = { repair: false, startEmpty: false, nowMs: Date.now() };
  const whole = await examineBootstrap(dataDir, options);
  assert.ok(whole.ok, JSON.stringify(whole.checks));

  const handle = await open(file, 'r+');
  const { size } = await handle.stat();
  const middle = Math.floor(size / PAGE_BYTES / 2) * PAGE_BYTES;
  await handle.write(new Uint8Array(PAGE_BYTES).fill(0xa5), 0, PAGE_BYTES, middle);
  await handle.close();
  const repaired = await examineBootstrap(dataDir, { ...options, repair: true });
  assert.ok(repaired.ok && repaired.repair !== null, JSON.stringify(repaired.checks));

  const { database, operations } = openMailboxes(file);
  t.after(() => database.close());
  const count = (what: string): number =>
    Number(database.prepare(`SELECT count(*) AS n FROM ${what}`).get()!['n']);
  assert.ok(count('mailbox_blob WHERE recipient = 1 AND of_stranger = 0') >= 18);
  const [strangers, others] = [1, 0].map((of) =>
    count(`mailbox_blob WHERE recipient > 1 AND of_stranger = ${of}`),
  );
  assert.ok(strangers! >= OWNERS - 4 && others! >= OWNERS - 4, `${strangers} and ${others}`);
  assert.equal(operations['mailbox.totals'](null).blocks, count('mailbox_block'));
  assert.ok(count('mailbox_block') > 0);
});
