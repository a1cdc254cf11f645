import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { runGroup } from '../protocols/group-commit/worker.ts';
import type { OpenStore } from '../protocols/group-commit/worker.ts';
import type { Collection } from '../protocols/mailbox/handler.ts';
import { peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { End_Reason, Status } from '../protocols/mailbox/protocol.ts';
import type { Deposit, HeldBlob } from '../protocols/mailbox/protocol.ts';
import { mailbox } from './mailbox.ts';
import type { MailboxInit } from './mailbox.ts';
import type { GroupOf } from './peer-groups.ts';
import { mailboxLimits } from './mailbox-limits.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import { mailboxBlockLimits } from './mailbox-block-limits.ts';
import { mailboxTable, NO_CAPABILITY } from './mailbox-table.ts';
import type { DepositBatch } from './mailbox-table.ts';
import { migrate } from './schema.ts';

const peer = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
const [alice, bob, carol, dave] = await Promise.all([peer(), peer(), peer(), peer()]);

const HOUR_MS = 3_600_000;
const START_MS = 1_800_000_000_000;
const small: MailboxLimits = {
  ...mailboxLimits({
    mailboxBlobs: 6,
    mailboxBytes: 1000,
    mailboxBlobsPerSender: 4,
    mailboxTotalBytes: 1024 ** 3,
    depositsPerMinute: 60,
  }),
  keptMs: 10 * HOUR_MS,
  windowBlobs: 4,
  windowBytes: 500,
};

/** A mailbox over a database in this thread, each call a transaction of its own. */
function open(
  t: TestContext,
  {
    file = ':memory:',
    limits = {},
    groupOf = () => undefined,
  }: { file?: string; limits?: Partial<MailboxLimits>; groupOf?: GroupOf } = {},
) {
  const changed = { ...small, ...limits };
  const { blobs, bytes, blobsPerSender } = changed;
  // Nobody here has a capability: strangers have all the room.
  const all = { ...changed, strangers: { blobs, bytes, blobsPerSender } };
  const database = new DatabaseSync(file);
  migrate(database);
  const store = {
    database,
    ...mailboxTable(database, all, mailboxBlockLimits({ mailboxTotalBytes: 1024 ** 3 })),
  } as unknown as OpenStore;
  const faults: string[] = [];
  const clock = { nowMs: START_MS };
  const state = { failing: false };
  const call = async (operation: string, argument: unknown): Promise<unknown> => {
    if (state.failing) throw new StoreError('no room', 'disk-full');
    const [reply] = runGroup(store, [
      { id: 1, operation, argument: structuredClone(argument), durability: 'disk' },
    ]);
    if (reply!.error !== undefined) throw new StoreError(reply!.error.message, reply!.error.code);
    return structuredClone(reply!.value);
  };
  const mail = mailbox({
    store: { call } as unknown as MailboxInit['store'],
    limits: all,
    groupOf,
    nowMs: () => clock.nowMs,
    onStoreError: ({ message }) => faults.push(message),
  });
  t.after(() => mail.stop());
  const rows = (): number =>
    Number(database.prepare('SELECT count(*) AS count FROM mailbox_blob').get()!['count']);
  return { mail, clock, state, faults, store, call, rows, close: () => database.close() };
}

let nextSeq = 0;
const deposit = (recipient: PeerId, text: string, change: Partial<Deposit> = {}): Deposit => {
  const blob = Buffer.from(text);
  return {
    seq: nextSeq++,
    recipient: peerIdToBytes(recipient),
    blobId: hash('sha256', blob, 'buffer'),
    expiresMs: START_MS + HOUR_MS,
    blob,
    capability: new Uint8Array(0),
    ...change,
  };
};
const deposits = (recipient: PeerId, ...texts: string[]) => texts.map((text) => deposit(recipient, text));
const statuses = (answers: readonly { status: Status }[]) => answers.map(({ status }) => status);

/** Reads a collection as its handler does. */
function reader(collection: Collection) {
  const got: string[] = [];
  const done = (async () => {
    for await (const blobs of collection.batches()) got.push(...blobs.map(text));
  })();
  const until = async (count: number): Promise<string[]> => {
    while (got.length < count) await settled();
    return got;
  };
  return { got, until, done };
}
const text = ({ blob }: HeldBlob): string => Buffer.from(blob).toString();
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what is deposited is handed out in order, with who and when', async (t) => {
  const { mail, clock, rows } = open(t);
  const [first] = await mail.deposit(alice, deposits(bob, 'a'));
  assert.deepEqual(first, {
    status: Status.STORED,
    keptUntilMs: START_MS + HOUR_MS,
    retryAfterMs: 0,
    detail: '',
  });
  clock.nowMs += 5;
  await mail.deposit(carol, [...deposits(bob, 'b'), ...deposits(dave, 'not for bob'), ...deposits(bob, 'c')]);
  const collection = mail.collect(bob);
  const held: HeldBlob[] = [];
  for await (const blobs of collection.batches()) {
    held.push(...blobs);
    if (held.length === 3) break;
  }
  assert.deepEqual(held.map(text), ['a', 'b', 'c']);
  assert.deepEqual(
    held.map(({ depositedAtMs }) => depositedAtMs - START_MS),
    [0, 5, 5],
  );
  assert.deepEqual(Buffer.from(held[0]!.depositor), Buffer.from(peerIdToBytes(alice)));
  assert.deepEqual(Buffer.from(held[1]!.depositor), Buffer.from(peerIdToBytes(carol)));
  collection.acknowledge(2);
  await settled();
  assert.equal(rows(), 2);
  collection.acknowledge(1);
  await settled();
  assert.equal(rows(), 1);
  assert.throws(() => collection.acknowledge(1), { name: 'InvalidMessageError' });
  assert.throws(() => collection.acknowledge(0), { name: 'InvalidMessageError' });
  assert.deepEqual(
    [mail.counts().sent, mail.counts().acknowledged, mail.counts().deposits.stored],
    [3, 3, 4],
  );
});

test('a blob is kept once, and until the time that was said first', async (t) => {
  const { mail, rows } = open(t);
  const twice = [deposit(bob, 'a'), deposit(bob, 'a', { expiresMs: START_MS + 2 * HOUR_MS })];
  const answers = await mail.deposit(alice, twice);
  assert.deepEqual(statuses(answers), [Status.STORED, Status.ALREADY_THERE]);
  assert.equal(answers[1]!.keptUntilMs, START_MS + HOUR_MS);
  assert.deepEqual(statuses(await mail.deposit(carol, deposits(bob, 'a'))), [Status.ALREADY_THERE]);
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(dave, 'a'))), [Status.STORED]);
  assert.equal(rows(), 2);
});

test('every bad field is refused for itself, the rest of the batch is stored', async (t) => {
  const { mail, rows } = open(t);
  const answers = await mail.deposit(alice, [
    deposit(bob, 'a', { recipient: Buffer.from('bob') }),
    deposit(bob, 'a', { blobId: new Uint8Array(31) }),
    deposit(bob, ''),
    deposit(bob, 'a', { blob: new Uint8Array(256 * 1024 + 1) }),
    deposit(bob, 'a', { expiresMs: START_MS }),
    deposit(bob, 'a', { blobId: new Uint8Array(32) }),
    deposit(bob, 'good', { expiresMs: Number.MAX_SAFE_INTEGER }),
  ]);
  assert.deepEqual(statuses(answers), [
    Status.MALFORMED,
    Status.MALFORMED,
    Status.MALFORMED,
    Status.TOO_LARGE,
    Status.EXPIRED,
    Status.HASH_MISMATCH,
    Status.STORED,
  ]);
  assert.deepEqual(
    answers.map(({ detail }) => detail.split(':')[0]),
    ['recipient', 'blob_id', 'blob', 'blob', 'expires_ms', 'blob_id', ''],
  );
  assert.equal(answers[6]!.keptUntilMs, START_MS + small.keptMs, 'no longer than the limit');
  assert.equal(rows(), 1);
});

test('quotas hold per sender and per recipient, in blobs and bytes, and acknowledging frees them', async (t) => {
  const { mail } = open(t);
  const { STORED, FULL, SENDER_FULL } = Status;
  const five = await mail.deposit(alice, deposits(bob, '1', '2', '3', '4', '5'));
  assert.deepEqual(statuses(five), [STORED, STORED, STORED, STORED, SENDER_FULL]);
  assert.deepEqual(statuses(await mail.deposit(carol, deposits(bob, '5', '6', '7'))), [STORED, STORED, FULL]);
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(bob, '1'))), [Status.ALREADY_THERE]);
  const large = ['x', 'y', 'z'].map((letter) => letter.repeat(400));
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(dave, ...large))), [STORED, STORED, FULL]);
  const collection = mail.collect(bob);
  await reader(collection).until(4);
  collection.acknowledge(4);
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(bob, '1', '2', '3', '4', '8'))), [
    STORED,
    STORED,
    STORED,
    STORED,
    FULL,
  ]);
});

test('quotas and duplicates are known after a restart and after a rollback', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'mailbox-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'store.db');
  const before = open(t, { file });
  await before.mail.deposit(alice, deposits(bob, '1', '2', '3'));
  before.close();
  const { mail, store, call, rows, close } = open(t, { file });
  t.after(close);
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(bob, '3', '4', '5'))), [
    Status.ALREADY_THERE,
    Status.STORED,
    Status.SENDER_FULL,
  ]);
  // A call that fails after it stored a blob takes that blob back, in memory as well.
  const { operations } = store as unknown as { operations: Record<string, (argument: unknown) => unknown> };
  operations['fail'] = (argument) => {
    operations['mailbox.deposit']!(argument);
    throw new Error('later');
  };
  const blob = Buffer.from('6');
  const bytes = new Uint8Array([...hash('sha256', blob, 'buffer'), ...blob]);
  const batch = {
    nowMs: START_MS,
    depositor: peerIdToBytes(dave),
    recipients: [peerIdToBytes(bob)],
    fields: Float64Array.of(0, START_MS + 1, bytes.length, NO_CAPABILITY),
    bytes,
  };
  assert.equal(((await call('mailbox.totals', null)) as { blobs: number }).blobs, 4);
  await assert.rejects(call('fail', batch), { message: 'later' });
  assert.equal(rows(), 4);
  assert.equal(((await call('mailbox.totals', null)) as { blobs: number }).blobs, 4);
  assert.deepEqual(statuses(await mail.deposit(dave, deposits(bob, '6', '7', '8'))), [
    Status.STORED,
    Status.STORED,
    Status.FULL,
  ]);
  assert.equal(((await call('mailbox.totals', null)) as { blobs: number }).blobs, 6);
});

test('who comes back without having acknowledged gets everything again, in order', async (t) => {
  const { mail } = open(t, { limits: { windowBlobs: 64 } });
  await mail.deposit(alice, deposits(bob, '1', '2', '3'));
  const first = mail.collect(bob);
  await reader(first).until(3);
  first.acknowledge(1);
  first.end();
  const again = reader(mail.collect(bob));
  assert.deepEqual(await again.until(2), ['2', '3']);
  await mail.deposit(alice, deposits(bob, '4'));
  assert.deepEqual(await again.until(3), ['2', '3', '4']);
});

test('what is deposited while a collection is open arrives in it', async (t) => {
  const { mail } = open(t);
  const { until } = reader(mail.collect(bob));
  await settled();
  await Promise.all([mail.deposit(alice, deposits(bob, '1')), mail.deposit(carol, deposits(bob, '2'))]);
  assert.deepEqual(await until(2), ['1', '2']);
});

test('no more than a window is on its way, in blobs or in bytes', async (t) => {
  const { mail } = open(t);
  await mail.deposit(alice, deposits(bob, '1', '2', '3'));
  await mail.deposit(carol, deposits(bob, '4', '5', '6'));
  const collection = mail.collect(bob);
  const { got, until } = reader(collection);
  await until(4);
  await settled();
  assert.equal(got.length, 4);
  collection.acknowledge(1);
  assert.deepEqual(await until(5), ['1', '2', '3', '4', '5']);
  const large = ['x', 'y'].map((letter) => letter.repeat(400));
  await mail.deposit(alice, deposits(dave, ...large));
  const bytes = mail.collect(dave);
  const big = reader(bytes);
  await big.until(1);
  await settled();
  assert.equal(big.got.length, 1);
  bytes.acknowledge(1);
  assert.deepEqual(await big.until(2), large);
});

test('a newer collection takes over', async (t) => {
  const { mail } = open(t);
  const older = mail.collect(bob);
  const { done } = reader(older);
  const newer = mail.collect(bob);
  await done;
  assert.equal(older.endReason, End_Reason.REPLACED);
  assert.equal(newer.endReason, undefined);
  assert.equal(mail.counts().collecting, 1);
  older.end();
  await mail.deposit(alice, deposits(bob, '1'));
  assert.deepEqual(await reader(newer).until(1), ['1']);
  newer.end();
  assert.equal(mail.counts().collecting, 0);
});

test('expired blobs are not handed out, not counted and swept', async (t) => {
  const { mail, clock, rows } = open(t, { limits: { sweepEveryMs: 1 } });
  await mail.deposit(alice, deposits(bob, '1', '2', '3', '4'));
  await mail.deposit(alice, [deposit(dave, '1'), deposit(dave, '2', { expiresMs: START_MS + 3 * HOUR_MS })]);
  clock.nowMs += HOUR_MS;
  assert.deepEqual(await reader(mail.collect(dave)).until(1), ['2']);
  const later = { expiresMs: START_MS + 2 * HOUR_MS };
  const [again] = await mail.deposit(alice, [deposit(bob, '1', later)]);
  assert.equal(again!.status, Status.STORED);
  assert.equal(rows(), 3, 'the room of what is expired is taken anew');
  mail.start();
  while (mail.counts().expired < 1) await settled();
  assert.equal(rows(), 2);
});

test('a clock that is set wrong for a while costs no blob, and nobody waits for it afterwards', async (t) => {
  const { mail, clock, rows } = open(t, { limits: { sweepEveryMs: 5 } });
  await mail.deposit(alice, deposits(bob, '1', '2'));
  mail.start();
  clock.nowMs += 87_600 * HOUR_MS;
  const bobs = reader(mail.collect(bob));
  await settled();
  assert.equal(mail.counts().sent, 0);
  clock.nowMs = START_MS;
  assert.deepEqual(await bobs.until(2), ['1', '2']);
  assert.equal(rows(), 2);
  assert.equal(mail.counts().expired, 0);
});

test('a peer without a blob is forgotten in the end', async (t) => {
  const { call, mail, clock, rows, store } = open(t);
  await mail.deposit(alice, deposits(bob, '1'));
  clock.nowMs += small.keptMs + 49 * HOUR_MS;
  await call('mailbox.expire', { after: 0, nowMs: clock.nowMs });
  assert.equal(rows(), 0);
  assert.equal(store.database.prepare('SELECT count(*) AS n FROM mailbox_peer').get()!['n'], 0);
  const [answer] = await mail.deposit(alice, [deposit(bob, '1', { expiresMs: clock.nowMs + 1 })]);
  assert.equal(answer!.status, Status.STORED);
  assert.deepEqual(await reader(mail.collect(bob)).until(1), ['1']);
});

test('a sweep goes through everything in chunks', async (t) => {
  const { call, mail, clock, rows } = open(t, {
    limits: { blobs: 3000, blobsPerSender: 3000, bytes: 1e6, depositsPerMinute: 3000 },
  });
  await mail.deposit(alice, deposits(bob, ...Array.from({ length: 2500 }, (_, i) => `blob ${i}`)));
  clock.nowMs += HOUR_MS;
  let after = 0;
  const chunks: number[] = [];
  do {
    const reply = (await call('mailbox.expire', { after, nowMs: clock.nowMs })) as {
      next: number;
      expired: number;
    };
    after = reply.next;
    chunks.push(reply.expired);
  } while (after > 0);
  assert.deepEqual(chunks, [1000, 1000, 500]);
  assert.equal(rows(), 0);
});

test('who deposits too often is told when to come back', async (t) => {
  const { mail, clock } = open(t, { limits: { blobs: 100, blobsPerSender: 100 } });
  const many = deposits(bob, ...Array.from({ length: 62 }, (_, i) => `${i}`));
  const answers = await mail.deposit(alice, many);
  assert.equal(answers[59]!.status, Status.STORED);
  assert.equal(answers[60]!.status, Status.RATE_LIMITED);
  assert.equal(answers[61]!.retryAfterMs, 2000);
  assert.deepEqual(statuses(await mail.deposit(carol, deposits(dave, '1'))), [Status.STORED]);
  clock.nowMs += 2000;
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(dave, '1', '2', '3'))), [
    Status.ALREADY_THERE,
    Status.STORED,
    Status.RATE_LIMITED,
  ]);
});

test('no more of a network chunk goes to the store than what is deposited', async (t) => {
  const [one] = deposits(bob, 'a');
  const chunk = Buffer.concat([new Uint8Array(60_000), one!.recipient]);
  let batch: DepositBatch | undefined;
  const mail = mailbox({
    store: {
      call: async (_: string, argument: DepositBatch) => {
        batch = argument;
        return { statuses: Uint8Array.of(0), keptUntilMs: Float64Array.of(1) };
      },
    } as unknown as MailboxInit['store'],
    limits: small,
    nowMs: () => START_MS,
    onStoreError: assert.fail,
  });
  t.after(() => mail.stop());
  await mail.deposit(alice, [{ ...one!, recipient: chunk.subarray(60_000) }]);
  assert.equal(batch!.recipients[0]!.buffer.byteLength, one!.recipient.byteLength);
});

test('a full disk is told to who deposits and who collects, and passes', async (t) => {
  const { mail, state, faults } = open(t);
  state.failing = true;
  const [answer] = await mail.deposit(alice, deposits(bob, '1'));
  assert.equal(answer!.status, Status.UNAVAILABLE);
  assert.ok(answer!.retryAfterMs > 0);
  const collection = mail.collect(bob);
  await reader(collection).done;
  assert.equal(collection.endReason, End_Reason.UNAVAILABLE);
  assert.deepEqual(faults, ['no room', 'no room']);
  state.failing = false;
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(bob, '1'))), [Status.STORED]);
});

test('deposits wait for one another when too much is under commit', async (t) => {
  const { mail } = open(t, { limits: { underCommit: { total: 50, perAddress: 50 } } });
  const answers = await Promise.all(
    ['1', '2', '3', '4'].map((text) => mail.deposit(alice, deposits(bob, text))),
  );
  assert.deepEqual(
    statuses(answers.flat()),
    Array.from({ length: 4 }, () => Status.STORED),
  );
});

test('a store that holds as much as it may takes nothing more for anybody, until something goes', async (t) => {
  const { mail, rows } = open(t, {
    limits: { bytes: 1e6, totalBytes: 200_000, blobs: 100, blobsPerSender: 100, windowBytes: 1e6 },
  });
  const large = (recipient: PeerId, letter: string) => deposit(recipient, letter.repeat(40_000));
  let kept = 0;
  for (let letter = 0; letter < 8; letter++) {
    const [answer] = await mail.deposit(alice, [large(bob, String.fromCharCode(97 + letter))]);
    if (answer!.status === Status.STORED) kept++;
    else assert.match(answer!.detail, /for all recipients together/);
  }
  assert.ok(kept > 0 && kept < 8);
  const before = rows();
  const [other] = await mail.deposit(carol, [large(dave, 'x')]);
  assert.equal(other!.status, Status.FULL);
  assert.equal(rows(), before);
  const collection = mail.collect(bob);
  await reader(collection).until(kept);
  collection.acknowledge(kept);
  await settled();
  assert.deepEqual(statuses(await mail.deposit(carol, [large(dave, 'x')])), [Status.STORED]);
  collection.end();
});

test('peers of one address share its deposits and bytes', async (t) => {
  const { mail } = open(t, {
    groupOf: () => '192.0.2.1',
    limits: {
      depositsPerAddress: { burst: 3, perSecond: 1 },
      depositBytesPerAddress: { burst: 10, perSecond: 5 },
    },
  });
  assert.deepEqual(statuses(await mail.deposit(alice, deposits(bob, '1', '2'))), [
    Status.STORED,
    Status.STORED,
  ]);
  const [third, fourth] = await mail.deposit(carol, deposits(bob, '12345678901', '4'));
  assert.equal(third!.status, Status.RATE_LIMITED);
  assert.match(third!.detail, /bytes from one address/);
  assert.equal(fourth!.status, Status.RATE_LIMITED);
  assert.match(fourth!.detail, /from one address/);
});

test('who asks for its mail too often is turned away, and the collection it has goes on', async (t) => {
  const { mail, clock } = open(t, { limits: { collectsPerMinute: 2 } });
  mail.collect(bob);
  const kept = mail.collect(bob);
  const refused = mail.collect(bob);
  await reader(refused).done;
  assert.equal(refused.endReason, End_Reason.UNAVAILABLE);
  assert.throws(() => refused.acknowledge(1), { name: 'InvalidMessageError' });
  refused.end();
  await mail.deposit(alice, deposits(bob, 'a'));
  assert.deepEqual(await reader(kept).until(1), ['a']);
  clock.nowMs += 30_000;
  const again = mail.collect(bob);
  assert.deepEqual(await reader(again).until(1), ['a']);
  assert.equal(kept.endReason, End_Reason.REPLACED);
  again.end();
});
