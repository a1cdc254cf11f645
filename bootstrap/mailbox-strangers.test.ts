import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey, PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { runGroup } from '../protocols/group-commit/worker.ts';
import type { OpenStore } from '../protocols/group-commit/worker.ts';
import { MAX_CAPABILITY_LIFETIME_MS, signCapability } from '../protocols/mailbox/capability.ts';
import { DepositorsRefused_Reason as Reason } from '../protocols/mailbox/depositors-frames.ts';
import type { DepositorsAnswer, DepositorsChange } from '../protocols/mailbox/depositors-frames.ts';
import { peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { Status } from '../protocols/mailbox/protocol.ts';
import type { Answer } from '../protocols/mailbox/protocol.ts';
import { mailboxBlockLimits } from './mailbox-block-limits.ts';
import type { MailboxBlockLimits } from './mailbox-block-limits.ts';
import { mailboxBlockDecisions } from './mailbox-blocks.ts';
import { mailboxLimits } from './mailbox-limits.ts';
import { mailboxTable } from './mailbox-table.ts';
import { mailbox } from './mailbox.ts';
import type { MailboxInit } from './mailbox.ts';
import type { GroupOf } from './peer-groups.ts';
import { BOOTSTRAP_STORE_VERSION, migrate } from './schema.ts';

const key = (): Promise<Ed25519PrivateKey> => generateKeyPair('Ed25519');
const [bobsKey, carolsKey] = await Promise.all([key(), key()]);
const [bob, carol] = [bobsKey, carolsKey].map(peerIdFromPrivateKey) as [PeerId, PeerId];
const people = await Promise.all(Array.from({ length: 15 }, async () => peerIdFromPrivateKey(await key())));
const [alice, dave] = people as [PeerId, PeerId];

const START_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const { STORED, ALREADY_THERE, FULL, SENDER_FULL, REFUSED } = Status;
const limits = mailboxLimits({
  mailboxBlobs: 1000,
  mailboxBytes: 16 * 1024 ** 2,
  mailboxBlobsPerSender: 128,
  mailboxTotalBytes: 1024 ** 3,
  depositsPerMinute: 10_000,
});

interface OpenOptions {
  file?: string;
  blocks?: Partial<MailboxBlockLimits>;
  groupOf?: GroupOf;
}

/** A mailbox over a database in this thread, each call a transaction of its own. */
function open(t: TestContext, { file = ':memory:', blocks = {}, groupOf }: OpenOptions = {}) {
  const blockLimits = { ...mailboxBlockLimits({ mailboxTotalBytes: 1024 ** 3 }), ...blocks };
  const database = new DatabaseSync(file);
  migrate(database);
  const store = { database, ...mailboxTable(database, limits, blockLimits) } as unknown as OpenStore;
  const clock = { nowMs: START_MS };
  const state = { failing: false, faults: 0 };
  const call = async (operation: string, argument: unknown): Promise<unknown> => {
    if (state.failing) throw new StoreError('no room', 'disk-full');
    const calls = [{ id: 1, operation, argument: structuredClone(argument), durability: 'disk' } as const];
    const [reply] = runGroup(store, calls);
    if (reply!.error !== undefined) throw new StoreError(reply!.error.message, reply!.error.code);
    return structuredClone(reply!.value);
  };
  const init = {
    store: { call } as unknown as MailboxInit['store'],
    nowMs: () => clock.nowMs,
    onStoreError: () => state.faults++,
    ...(groupOf !== undefined && { groupOf }),
  };
  const mail = mailbox({ ...init, limits });
  const { decisions, counts } = mailboxBlockDecisions({ ...init, limits: blockLimits });
  t.after(() => mail.stop());
  const of = (owner: PeerId, change: Partial<DepositorsChange>): Promise<DepositorsAnswer> =>
    decisions.set(owner, { block: [], unblock: [], atMs: clock.nowMs, ...change });
  return {
    mail,
    clock,
    state,
    call,
    database,
    counts,
    set: of,
    block: (owner: PeerId, ...peers: PeerId[]) => of(owner, { block: peers.map(peerIdToBytes) }),
    unblock: (owner: PeerId, ...peers: PeerId[]) => of(owner, { unblock: peers.map(peerIdToBytes) }),
    rows: () => Number(database.prepare('SELECT count(*) AS n FROM mailbox_blob').get()!['n']),
    /** Deposits texts for Bob, or another; says what became of each. */
    async leave(
      depositor: PeerId,
      texts: readonly string[],
      { capability = new Uint8Array(0), to = bob }: { capability?: Uint8Array; to?: PeerId } = {},
    ): Promise<readonly Answer[]> {
      const deposits = texts.map((text, seq) => {
        const blob = Buffer.from(text);
        const blobId = hash('sha256', blob, 'buffer');
        const expiresMs = clock.nowMs + 24 * HOUR_MS;
        return { seq, recipient: peerIdToBytes(to), blobId, expiresMs, blob, capability };
      });
      return mail.deposit(depositor, deposits);
    },
  };
}

const statuses = (answers: readonly Answer[]): Status[] => answers.map(({ status }) => status);
const texts = (count: number, name = ''): string[] => Array.from({ length: count }, (_, i) => `${name} ${i}`);
const many = (status: Status, count: number): Status[] => Array.from({ length: count }, () => status);

/** Bob's for somebody. */
const capabilityFor = (depositor: PeerId, issuedMs = START_MS, lastsMs = 400 * 24 * HOUR_MS) =>
  signCapability(bobsKey, { depositor, issuedMs, expiresMs: issuedMs + lastsMs });

async function temporaryFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mailbox-'));
  t.after(() => rm(folder, { recursive: true }));
  return join(folder, 'bootstrap.db');
}

void test('strangers have a twentieth of what others have, four blobs each, and take nothing of theirs', async (t) => {
  const { leave, rows, mail } = open(t);
  const [, , , , fifth] = await leave(alice, texts(5, 'alice'));
  assert.deepEqual([fifth!.status, rows()], [SENDER_FULL, 4]);
  assert.match(fifth!.detail, /room for 4 blobs of somebody it has not accepted yet/);
  for (const stranger of people.slice(1, 12)) {
    assert.deepEqual(statuses(await leave(stranger, texts(4, stranger.toString()))), many(STORED, 4));
  }
  const last = await leave(people[12]!, texts(4, 'last'));
  assert.deepEqual(statuses(last), [STORED, STORED, FULL, FULL]);
  assert.match(last[3]!.detail, /no more room for people it has not accepted yet \(50 blobs, 838860 bytes\)/);
  assert.deepEqual(statuses(await leave(alice, texts(4, 'alice'))), many(ALREADY_THERE, 4), 'asked again');
  assert.deepEqual(mail.counts().ofStrangers.full, 2);

  // The others have the whole of what is theirs, as if no stranger had come.
  const friends = people.slice(0, 8);
  const answers = [];
  for (const friend of friends) {
    const capability = await capabilityFor(friend);
    answers.push(...(await leave(friend, texts(128, `friend ${friend.toString()}`), { capability })));
  }
  assert.deepEqual(statuses(answers), [...many(STORED, 1000), ...many(FULL, 24)]);
  assert.equal(rows(), 1050);
  assert.equal(mail.counts().capabilities.valid, 8, 'one signature a depositor');
});

void test('the bytes of strangers are a twentieth as well', async (t) => {
  const { leave } = open(t);
  const large = Array.from({ length: 4 }, (_, i) => String(i).repeat(256 * 1024));
  assert.deepEqual(statuses(await leave(alice, large)), [STORED, STORED, STORED, FULL]);
  assert.deepEqual(statuses(await leave(dave, ['x'.repeat(60_000)])), [FULL]);
  const capability = await capabilityFor(dave);
  assert.deepEqual(statuses(await leave(dave, ['x'.repeat(60_000)], { capability })), [STORED]);
});

void test('a restart changes nothing of it', async (t) => {
  const file = await temporaryFile(t);
  const before = open(t, { file });
  const capability = await capabilityFor(carol);
  await before.leave(alice, texts(4, 'alice'));
  await before.leave(carol, texts(127, 'carol'), { capability });
  await before.block(bob, dave);
  before.database.close();
  const { leave, unblock, database } = open(t, { file });
  assert.deepEqual(statuses(await leave(alice, texts(5, 'alice'))), [...many(ALREADY_THERE, 4), SENDER_FULL]);
  assert.deepEqual(statuses(await leave(carol, ['one', 'two'], { capability })), [STORED, SENDER_FULL]);
  assert.deepEqual(statuses(await leave(dave, ['dave'])), [REFUSED]);
  assert.deepEqual(await unblock(bob, dave), { type: 'depositors-set', blocked: 0 });
  database.close();
});

void test('a capability that does not hold makes no difference', async (t) => {
  const { leave, clock, mail } = open(t);
  const forged = Uint8Array.from(await capabilityFor(alice));
  forged[100]! ^= 1;
  const useless = [
    forged,
    await capabilityFor(dave),
    await signCapability(carolsKey, { depositor: alice, issuedMs: START_MS, expiresMs: START_MS + 1 }),
    await capabilityFor(alice, START_MS - HOUR_MS, HOUR_MS),
    Uint8Array.of(1),
    new Uint8Array(200_000),
  ];
  for (const [i, capability] of useless.entries()) {
    const [answer] = await leave(alice, [`useless ${i}`], { capability });
    assert.equal(answer!.status, i < 4 ? STORED : SENDER_FULL);
  }
  assert.deepEqual(mail.counts().capabilities, { valid: 0, invalid: 2 });
  const capability = await capabilityFor(alice, START_MS, HOUR_MS);
  assert.deepEqual(statuses(await leave(alice, ['good'], { capability })), [STORED]);
  // For Bob, and nobody else.
  assert.deepEqual(statuses(await leave(alice, texts(5), { capability, to: carol })), [
    ...many(STORED, 4),
    SENDER_FULL,
  ]);
  // A known one expires too.
  clock.nowMs += HOUR_MS;
  assert.deepEqual(statuses(await leave(alice, ['late'], { capability })), [SENDER_FULL]);
});

void test('whom a recipient blocks leaves nothing, and what it left is gone', async (t) => {
  const { leave, block, unblock, rows, mail, clock, call } = open(t);
  const capability = await capabilityFor(alice);
  await leave(alice, texts(10, 'alice'), { capability });
  await leave(alice, ['a stranger once']);
  await leave(dave, ['dave']);
  await leave(alice, ['to carol'], { to: carol });
  clock.nowMs += 5;
  const collection = mail.collect(bob);
  const got: number[] = [];
  void (async () => {
    for await (const blobs of collection.batches()) got.push(blobs.length);
  })();
  while (got.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(await block(bob, alice), { type: 'depositors-set', blocked: 1 });
  assert.equal(rows(), 2);
  assert.deepEqual(await call('mailbox.totals', null), { blobs: 2, blocks: 1 });
  const [refused] = await leave(alice, ['again'], { capability });
  assert.equal(refused!.status, REFUSED);
  assert.match(refused!.detail, /takes nothing from this depositor/);
  assert.deepEqual(statuses(await leave(alice, ['again'])), [REFUSED]);
  assert.deepEqual(statuses(await leave(alice, ['more'], { to: carol })), [STORED], 'Bob is not Carol');
  collection.acknowledge(12);
  collection.end();

  assert.deepEqual(await unblock(bob, alice, dave), { type: 'depositors-set', blocked: 0 });
  // What was issued before, or at the same time, is void.
  const void1 = await leave(alice, texts(5, 'as a stranger'), { capability });
  assert.deepEqual(statuses(void1), [...many(STORED, 4), SENDER_FULL]);
  const same = await capabilityFor(alice, clock.nowMs);
  assert.deepEqual(statuses(await leave(alice, ['x'], { capability: same })), [SENDER_FULL]);
  const after = await capabilityFor(alice, clock.nowMs + 1);
  assert.deepEqual(statuses(await leave(alice, ['x'], { capability: after })), [STORED]);
  assert.deepEqual(mail.counts().deposits.refused, 2);
});

void test('blocks are bounded, for an owner and for everybody, and unblocking makes room', async (t) => {
  const { block, unblock, set, counts, call, clock } = open(t, {
    blocks: { perOwner: 3, total: 4, requests: { burst: 100, perSecond: 1 } },
  });
  const [one, two, three, four] = people as [PeerId, PeerId, PeerId, PeerId];
  const refused = (answer: DepositorsAnswer): Reason =>
    answer.type === 'depositors-refused' ? answer.reason : assert.fail('not refused');
  assert.deepEqual(await block(bob, one, two), { type: 'depositors-set', blocked: 2 });
  assert.deepEqual(await block(bob, two, three), { type: 'depositors-set', blocked: 3 });
  assert.equal(refused(await block(bob, four)), Reason.FULL);
  const swap = { block: [peerIdToBytes(four)], unblock: [peerIdToBytes(one)] };
  assert.deepEqual(await set(bob, swap), { type: 'depositors-set', blocked: 3 });
  assert.equal(refused(await block(carol, one, two)), Reason.FULL);
  assert.deepEqual(await block(carol, one), { type: 'depositors-set', blocked: 1 });
  assert.deepEqual(await unblock(carol, one, two), { type: 'depositors-set', blocked: 0 });
  for (const bad of [
    { block: [Uint8Array.of(1)] },
    { unblock: [Uint8Array.of(1)] },
    { block: [peerIdToBytes(one), peerIdToBytes(one)] },
    { block: [peerIdToBytes(one)], unblock: [peerIdToBytes(one)] },
    { block: people.map(peerIdToBytes) },
  ]) {
    assert.equal(refused(await set(bob, bad)), Reason.MALFORMED);
  }
  assert.deepEqual(counts(), { set: 5, rate_limited: 0, malformed: 5, full: 2, unavailable: 0 });
  const blocksHeld = async () => ((await call('mailbox.totals', null)) as { blocks: number }).blocks;
  assert.equal(await blocksHeld(), 4);
  // Who is blocked again in time stays, the others go.
  clock.nowMs += MAX_CAPABILITY_LIFETIME_MS;
  assert.deepEqual(await block(bob, two), { type: 'depositors-set', blocked: 3 });
  for (const [passedMs, held] of [
    [1, 1],
    [MAX_CAPABILITY_LIFETIME_MS, 0],
  ] as const) {
    clock.nowMs += passedMs;
    await call('mailbox.expire', { after: 0, nowMs: clock.nowMs });
    assert.equal(await blocksHeld(), held);
  }
});

void test('who blocks too often waits, by owner and by address, and a failing disk is said', async (t) => {
  const { block, state } = open(t, {
    groupOf: () => '192.0.2.1',
    blocks: {
      requests: { burst: 2, perSecond: 0.1 },
      requestsPerAddress: { burst: 4, perSecond: 1 },
      namedPerAddress: { burst: 5, perSecond: 1 },
    },
  });
  const answers = [await block(bob, alice), await block(bob, dave), await block(bob, alice)];
  assert.deepEqual(
    answers.map(({ type }) => type),
    ['depositors-set', 'depositors-set', 'depositors-refused'],
  );
  const [, , third] = answers;
  assert.ok(third?.type === 'depositors-refused' && third.retryAfterMs === 10_000);
  const ofAddress = await block(carol, ...people.slice(0, 4));
  assert.ok(ofAddress.type === 'depositors-refused' && ofAddress.reason === Reason.RATE_LIMITED);
  state.failing = true;
  const unavailable = await block(carol, alice);
  assert.ok(unavailable.type === 'depositors-refused' && unavailable.reason === Reason.UNAVAILABLE);
  assert.ok(unavailable.retryAfterMs > 0 && state.faults === 1);
  const last = await block(dave, alice);
  assert.ok(last.type === 'depositors-refused' && last.reason === Reason.RATE_LIMITED);
});

void test('a flood of capabilities that nobody signed costs a signature for each deposit that is let through', async (t) => {
  const { mail } = open(t, { groupOf: () => '192.0.2.1' });
  const good = await capabilityFor(carol);
  const deposits = Array.from({ length: 12_000 }, (_, seq) => {
    const capability = Uint8Array.from(good);
    capability.set(peerIdToBytes(alice), 1);
    capability[60] = seq;
    capability[61] = seq >> 8;
    const blob = Buffer.from(`flood ${seq}`);
    const blobId = hash('sha256', blob, 'buffer');
    return { seq, recipient: peerIdToBytes(bob), blobId, expiresMs: START_MS + HOUR_MS, blob, capability };
  });
  let turns = 0;
  const counting = setInterval(() => turns++, 0);
  // Half of them have something else wrong, which is seen before.
  for (const one of deposits.slice(0, 6000)) one.blobId = Buffer.alloc(32);
  const answers = await mail.deposit(alice, deposits.slice(5000, 6500));
  clearInterval(counting);
  assert.equal(answers.filter(({ status }) => status === Status.HASH_MISMATCH).length, 1000);
  assert.deepEqual(mail.counts().capabilities, { valid: 0, invalid: 500 });
  assert.ok(turns > 5, 'others have their turns meanwhile');
  const rest = await mail.deposit(alice, deposits);
  const limited = rest.filter(({ status }) => status === Status.RATE_LIMITED).length;
  assert.equal(limited, 12_000 - 8_500);
  assert.equal(mail.counts().capabilities.invalid, 500 + 2_500);
});

void test("the store of the first release opens, and what waits there is no stranger's", async (t) => {
  const file = await temporaryFile(t);
  const released = new URL(
    '../integration-tests/faults/releases/0.1.0/bootstrap/bootstrap.db.gz',
    import.meta.url,
  );
  await writeFile(file, gunzipSync(await readFile(released)));
  const { database, rows, call } = open(t, { file });
  t.after(() => database.close());
  assert.equal(database.prepare('PRAGMA user_version').get()!['user_version'], BOOTSTRAP_STORE_VERSION);
  assert.ok(rows() > 0);
  const strangers = database.prepare('SELECT count(*) AS n FROM mailbox_blob WHERE of_stranger <> 0');
  assert.equal(strangers.get()!['n'], 0);
  assert.equal(((await call('mailbox.totals', null)) as { blocks: number }).blocks, 0);
});
