import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { LOST_COLUMNS_SCHEMA } from '../protocols/group-commit/salvage.ts';
import { runGroup } from '../protocols/group-commit/worker.ts';
import type { OpenStore } from '../protocols/group-commit/worker.ts';
import { peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { PrekeysRefused_Reason as Reason } from '../protocols/mailbox/prekey-frames.ts';
import type { HeldPrekey, PrekeyAnswer, Publication } from '../protocols/mailbox/prekey-frames.ts';
import { mendBootstrapStore } from './mend.ts';
import type { GroupOf } from './peer-groups.ts';
import { prekeyLimits } from './prekey-limits.ts';
import type { PrekeyLimits } from './prekey-limits.ts';
import { PREKEY_ROW_BYTES, prekeyTable } from './prekey-table.ts';
import { prekeys } from './prekeys.ts';
import type { PrekeysInit } from './prekeys.ts';
import { BOOTSTRAP_STORE_VERSION, migrate } from './schema.ts';

const peer = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
const [alice, bob, carol, dave] = await Promise.all([peer(), peer(), peer(), peer()]);

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const START_MS = 1_800_000_000_000;
const RELEASED = new URL(
  '../integration-tests/faults/releases/0.1.0/bootstrap/bootstrap.db.gz',
  import.meta.url,
);

interface OpenOptions {
  file?: string;
  limits?: Partial<PrekeyLimits>;
  groupOf?: GroupOf;
}

/** Prekeys over a database in this thread; calls of one turn are one transaction, as in the store's worker. */
function open(
  t: TestContext,
  { file = ':memory:', limits = {}, groupOf = () => undefined }: OpenOptions = {},
) {
  const all = { ...prekeyLimits({ mailboxTotalBytes: 1024 ** 3 }), ...limits };
  const database = new DatabaseSync(file);
  migrate(database);
  const store = { database, ...prekeyTable(database, all) } as unknown as OpenStore;
  const faults: string[] = [];
  const clock = { nowMs: START_MS, reads: 0 };
  const state = { failing: false, killed: false };
  let waiting: { operation: string; argument: unknown; reply: PromiseWithResolvers<unknown> }[] = [];
  let groups = 0;
  const flush = (): void => {
    const calls = waiting;
    waiting = [];
    groups++;
    const replies = runGroup(
      store,
      calls.map(({ operation, argument }, id) => ({
        id,
        operation,
        argument: structuredClone(argument),
        durability: 'disk',
      })),
    );
    // Killed between the commit and the answer: what is committed stays so, and nobody hears of it.
    if (state.killed) return;
    for (const { id, value, error } of replies) {
      const { reply } = calls[id]!;
      if (error === undefined) reply.resolve(structuredClone(value));
      else reply.reject(new StoreError(error.message, error.code));
    }
  };
  const call = (operation: string, argument: unknown): Promise<unknown> => {
    if (state.failing) return Promise.reject(new StoreError('no room', 'disk-full'));
    const reply = Promise.withResolvers<unknown>();
    if (waiting.length === 0) setImmediate(flush);
    waiting.push({ operation, argument, reply });
    return reply.promise;
  };
  const keys = prekeys({
    store: { call } as unknown as PrekeysInit['store'],
    limits: all,
    groupOf,
    nowMs: () => {
      clock.reads++;
      return clock.nowMs;
    },
    onStoreError: ({ message }) => faults.push(message),
  });
  t.after(() => keys.stop());
  const { decisions } = keys;
  return {
    keys,
    clock,
    state,
    faults,
    database,
    groups: () => groups,
    publish: (owner: PeerId, change: Partial<Publication>) =>
      decisions.publish(owner, { oneTime: [], lastResort: undefined, replace: false, ...change }),
    take: (taker: PeerId, recipient: PeerId) => decisions.take(taker, peerIdToBytes(recipient)),
    count: (owner: PeerId) => decisions.count(owner),
    close: () => database.close(),
  };
}

const prekey = (number: number, change: Partial<HeldPrekey> = {}): HeldPrekey => ({
  id: new Uint8Array(16).fill(number),
  expiresMs: START_MS + DAY_MS,
  prekey: Buffer.from(`prekey ${number}`),
  ...change,
});
const stock = (from: number, count: number): HeldPrekey[] =>
  Array.from({ length: count }, (_, i) => prekey(from + i));

/** What somebody got: the number of a prekey, negative for a last-resort one, or the reason for a refusal, which is one too. */
const got = (answer: PrekeyAnswer): number | undefined => {
  if (answer.type === 'prekeys-refused') return answer.reason;
  if (answer.type !== 'prekey-taken') return undefined;
  return answer.lastResort ? -answer.prekey.id[0]! : answer.prekey.id[0]!;
};
const refused = (answer: PrekeyAnswer): { reason: Reason; retryAfterMs: number; detail: string } => {
  assert.equal(answer.type, 'prekeys-refused');
  return answer;
};
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('prekeys are handed out once, in order, and then the last-resort one again and again', async (t) => {
  const { publish, take, count, keys } = open(t);
  assert.deepEqual(await publish(bob, { oneTime: stock(1, 2), lastResort: prekey(9) }), {
    type: 'prekeys-published',
    left: 2,
  });
  assert.deepEqual(await count(bob), {
    type: 'prekeys-counted',
    oneTimeIds: [prekey(1).id, prekey(2).id],
    lastResortId: prekey(9).id,
  });
  const first = await take(alice, bob);
  assert.deepEqual(first, {
    type: 'prekey-taken',
    prekey: { ...prekey(1), prekey: new Uint8Array(prekey(1).prekey) },
    lastResort: false,
  });
  assert.deepEqual([got(await take(carol, bob)), got(await take(alice, bob))], [2, -9]);
  assert.deepEqual(await publish(bob, { oneTime: [prekey(3)] }), { type: 'prekeys-published', left: 1 });
  assert.deepEqual([got(await take(alice, bob)), got(await take(alice, bob))], [3, -9]);
  assert.equal(refused(await take(alice, dave)).reason, Reason.NONE);
  const { published, taken, last_resort, counted, none } = keys.counts();
  assert.deepEqual([published, taken, last_resort, counted, none], [2, 3, 2, 1, 1]);
});

test('takers that ask at once never get the same one-time prekey', async (t) => {
  const { publish, take, groups } = open(t);
  await publish(bob, { oneTime: stock(1, 20), lastResort: prekey(99) });
  const before = groups();
  const takers = await Promise.all(Array.from({ length: 8 }, peer));
  const all = await Promise.all(takers.flatMap((taker) => [1, 2, 3].map(() => take(taker, bob))));
  assert.equal(groups() - before, 1, 'one commit for all of them');
  const once = all.map(got).filter((number) => number !== -99);
  assert.equal(once.length, 20);
  assert.equal(new Set(once).size, 20);
});

test('killed between the commit of a take and its answer: the prekey is gone, and nobody gets it', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'prekeys-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'store.db');
  const before = open(t, { file });
  await before.publish(bob, { oneTime: stock(1, 3) });
  before.state.killed = true;
  let answered = false;
  void before.take(alice, bob).then(() => (answered = true));
  while (before.groups() < 2) await settled();
  before.close();
  const after = open(t, { file });
  t.after(after.close);
  assert.equal(answered, false);
  assert.equal(got(await after.take(alice, bob)), 2);
  assert.equal(got(await after.take(carol, bob)), 3);
  assert.equal(refused(await after.take(carol, bob)).reason, Reason.NONE);
});

test('every bad field refuses a publication as a whole', async (t) => {
  const { publish, count, take, keys } = open(t);
  for (const [bad, reason, field] of [
    [prekey(1, { id: new Uint8Array(15) }), Reason.MALFORMED, 'id'],
    [prekey(1, { prekey: new Uint8Array(0) }), Reason.MALFORMED, 'prekey'],
    [prekey(1, { prekey: new Uint8Array(2049) }), Reason.MALFORMED, 'prekey'],
    [prekey(1, { expiresMs: START_MS }), Reason.EXPIRED, 'expires_ms'],
    [prekey(2), Reason.MALFORMED, 'id'],
  ] as const) {
    const answer = refused(await publish(bob, { oneTime: [prekey(2), bad] }));
    assert.equal(answer.reason, reason);
    assert.equal(answer.detail.split(':')[0], field);
    assert.equal(refused(await publish(bob, { oneTime: [prekey(2)], lastResort: bad })).reason, reason);
  }
  const tooMany = refused(await publish(bob, { oneTime: stock(1, 101) }));
  assert.deepEqual([tooMany.reason, tooMany.detail.split(':')[0]], [Reason.MALFORMED, 'one_time']);
  const recipient = refused(await keys.decisions.take(alice, Buffer.from('bob')));
  assert.deepEqual([recipient.reason, recipient.detail], [Reason.MALFORMED, 'recipient: not a peer id']);
  assert.equal(refused(await take(alice, bob)).reason, Reason.NONE);
  assert.deepEqual(await count(bob), { type: 'prekeys-counted', oneTimeIds: [], lastResortId: undefined });
});

test('no more than a hundred of an owner are held, all of a publication or none', async (t) => {
  const { publish, take } = open(t);
  assert.deepEqual(await publish(bob, { oneTime: stock(1, 95) }), { type: 'prekeys-published', left: 95 });
  const full = refused(await publish(bob, { oneTime: stock(101, 6) }));
  assert.equal(full.reason, Reason.FULL);
  assert.match(full.detail, /^one_time: 95 prekeys are held/);
  assert.deepEqual(await publish(bob, { oneTime: stock(101, 5) }), { type: 'prekeys-published', left: 100 });
  // Published again, as after a lost answer.
  assert.deepEqual(await publish(bob, { oneTime: stock(101, 5) }), { type: 'prekeys-published', left: 100 });
  assert.equal(got(await take(alice, bob)), 1);
  assert.deepEqual(await publish(bob, { oneTime: [prekey(106)] }), { type: 'prekeys-published', left: 100 });
  assert.deepEqual(await publish(alice, { oneTime: stock(1, 100) }), {
    type: 'prekeys-published',
    left: 100,
  });
});

test('an owner that lost its secrets replaces everything', async (t) => {
  const { publish, take } = open(t);
  await publish(bob, { oneTime: stock(1, 100), lastResort: prekey(200) });
  await publish(bob, { oneTime: stock(101, 1), replace: true });
  assert.equal(got(await take(alice, bob)), 101);
  assert.equal(refused(await take(alice, bob)).reason, Reason.NONE);
});

test('the newest last-resort prekey that has not expired is handed out', async (t) => {
  const { publish, take, count, clock, database } = open(t);
  await publish(bob, { lastResort: prekey(1) });
  await publish(bob, { lastResort: prekey(2) });
  await publish(bob, { lastResort: prekey(3, { expiresMs: START_MS + MINUTE_MS }) });
  assert.equal(database.prepare('SELECT count(*) AS n FROM prekey').get()!['n'], 2);
  assert.equal(got(await take(alice, bob)), -3);
  clock.nowMs += MINUTE_MS;
  assert.equal(got(await take(alice, bob)), -2);
  assert.deepEqual(await count(bob), {
    type: 'prekeys-counted',
    oneTimeIds: [],
    lastResortId: prekey(2).id,
  });
});

test('a prekey is not handed out when its time is over, and no longer than a month', async (t) => {
  const { publish, take, clock } = open(t);
  const long = { expiresMs: Number.MAX_SAFE_INTEGER };
  await publish(bob, { oneTime: [prekey(1), prekey(2, long)], lastResort: prekey(3, long) });
  clock.nowMs += DAY_MS;
  const second = await take(alice, bob);
  assert.ok(second.type === 'prekey-taken');
  assert.equal(second.prekey.expiresMs, START_MS + 30 * DAY_MS);
  clock.nowMs += 29 * DAY_MS;
  assert.equal(refused(await take(alice, bob)).reason, Reason.NONE);
});

test('what is expired is swept, but not by a clock that was just set', async (t) => {
  const { publish, keys, clock, database } = open(t, { limits: { sweepEveryMs: 5 } });
  const rows = (): number => Number(database.prepare('SELECT count(*) AS n FROM prekey').get()!['n']);
  await publish(bob, { oneTime: [prekey(1, { expiresMs: START_MS + 1 })], lastResort: prekey(2) });
  assert.equal(rows(), 2);
  keys.start();
  clock.nowMs += 10 * 365 * DAY_MS;
  const { reads } = clock;
  while (clock.reads === reads) await settled();
  assert.equal(rows(), 2);
  clock.nowMs = START_MS + 1;
  while (rows() > 1) await settled();
  await keys.stop();
  assert.equal(rows(), 1);
});

test('a stranger that drains a stock is given the last-resort prekey, others their own', async (t) => {
  const { publish, take, clock } = open(t);
  await publish(bob, { oneTime: stock(1, 100), lastResort: prekey(200) });
  const all: unknown[] = [];
  for (let i = 0; i < 8; i++) all.push(got(await take(alice, bob)));
  assert.deepEqual(all, [1, 2, 3, 4, 5, 6, -200, -200]);
  assert.equal(got(await take(carol, bob)), 7);
  clock.nowMs += 10 * MINUTE_MS;
  assert.deepEqual([got(await take(alice, bob)), got(await take(alice, bob))], [8, -200]);
  await publish(dave, { oneTime: stock(1, 1) });
  assert.equal(got(await take(alice, dave)), 1, 'each recipient counts for itself');
});

test('without a last-resort prekey, who takes too many is told when to come back', async (t) => {
  const { publish, take, clock } = open(t);
  await publish(bob, { oneTime: stock(1, 100) });
  for (let i = 1; i <= 6; i++) assert.equal(got(await take(alice, bob)), i);
  const { reason, retryAfterMs } = refused(await take(alice, bob));
  assert.deepEqual([reason, retryAfterMs], [Reason.RATE_LIMITED, 10 * MINUTE_MS]);
  clock.nowMs += retryAfterMs;
  assert.equal(got(await take(alice, bob)), 7);
  for (let i = 8; i <= 100; i++) assert.equal(got(await take(await peer(), bob)), i);
  assert.equal(refused(await take(alice, bob)).reason, Reason.NONE, 'nothing is held back any more');
});

test('many peers of one address drain a stock no faster', async (t) => {
  const { publish, take, clock } = open(t, { groupOf: (id) => (id === carol.toString() ? 'b' : 'a') });
  await publish(bob, { oneTime: stock(1, 100), lastResort: prekey(200) });
  for (let i = 1; i <= 30; i++) assert.equal(got(await take(await peer(), bob)), i);
  assert.equal(got(await take(await peer(), bob)), -200);
  assert.equal(got(await take(carol, bob)), 31);
  clock.nowMs += 2 * MINUTE_MS;
  assert.equal(got(await take(await peer(), bob)), 32);
});

test('who asks too often altogether is refused, by peer and by address', async (t) => {
  const { publish, take, count } = open(t, {
    groupOf: () => 'a',
    limits: { requestsPerMinute: 3, requestsPerAddress: { burst: 5, perSecond: 1 } },
  });
  await publish(bob, { lastResort: prekey(1) });
  await take(alice, bob);
  await count(alice);
  await take(alice, bob);
  const own = refused(await take(alice, bob));
  assert.deepEqual([own.reason, own.retryAfterMs], [Reason.RATE_LIMITED, 20_000]);
  assert.equal(got(await take(carol, bob)), -1);
  for (const answer of [await count(dave), await publish(dave, {}), await take(dave, bob)]) {
    const { reason, retryAfterMs } = refused(answer);
    assert.deepEqual([reason, retryAfterMs], [Reason.RATE_LIMITED, 1000]);
  }
});

test('takes of all recipients together are limited by address', async (t) => {
  const { publish, take, count, clock } = open(t, {
    groupOf: (id) => (id === carol.toString() ? undefined : 'a'),
    limits: { takesPerAddress: { burst: 2, perSecond: 0.5 } },
  });
  await publish(bob, { lastResort: prekey(1) });
  assert.deepEqual([got(await take(alice, bob)), got(await take(dave, bob))], [-1, -1]);
  const { reason, retryAfterMs } = refused(await take(await peer(), dave));
  assert.deepEqual([reason, retryAfterMs], [Reason.RATE_LIMITED, 2000]);
  assert.equal((await count(alice)).type, 'prekeys-counted');
  assert.equal(got(await take(carol, bob)), -1);
  clock.nowMs += retryAfterMs;
  assert.equal(got(await take(alice, bob)), -1);
});

test('publications are limited by owner and by address', async (t) => {
  const { publish, clock } = open(t, {
    groupOf: (id) => (id === bob.toString() ? undefined : 'a'),
    limits: { publicationsPerAddress: { burst: 1, perSecond: 1 } },
  });
  for (let i = 1; i <= 10; i++) {
    assert.equal((await publish(bob, { oneTime: [prekey(i)] })).type, 'prekeys-published');
  }
  const own = refused(await publish(bob, { oneTime: [prekey(11)] }));
  assert.deepEqual([own.reason, own.retryAfterMs], [Reason.RATE_LIMITED, MINUTE_MS]);
  clock.nowMs += MINUTE_MS;
  assert.deepEqual(await publish(bob, { oneTime: [prekey(11)] }), { type: 'prekeys-published', left: 11 });
  assert.equal((await publish(carol, {})).type, 'prekeys-published');
  const shared = refused(await publish(dave, {}));
  assert.deepEqual([shared.reason, shared.retryAfterMs], [Reason.RATE_LIMITED, 1000]);
});

test('all prekeys together have a bound, and so has the store', async (t) => {
  const bytes = PREKEY_ROW_BYTES + prekey(1).prekey.byteLength;
  const { publish, take } = open(t, { limits: { totalBytes: 2 * bytes } });
  await publish(bob, { oneTime: stock(1, 2) });
  const full = refused(await publish(dave, { oneTime: [prekey(1)] }));
  assert.equal(full.reason, Reason.FULL);
  assert.match(full.detail, /for all owners together/);
  assert.equal((await publish(bob, { oneTime: [prekey(3)], replace: true })).type, 'prekeys-published');
  assert.equal((await publish(dave, { oneTime: [prekey(1)] })).type, 'prekeys-published');
  assert.equal(got(await take(alice, dave)), 1);
  const small = open(t, { limits: { storeBytes: 1 } });
  assert.equal(refused(await small.publish(bob, { oneTime: [prekey(1)] })).reason, Reason.FULL);
});

test('publications wait for one another when too much is under commit', async (t) => {
  const { publish, groups } = open(t, { limits: { underCommit: { total: 200, perAddress: 200 } } });
  const all = await Promise.all([1, 2, 3].map((number) => publish(bob, { oneTime: [prekey(number)] })));
  assert.deepEqual(
    all.map(({ type }) => type),
    Array.from({ length: 3 }, () => 'prekeys-published'),
  );
  assert.equal(groups(), 3);
});

test('a full disk is told, keeps every prekey, and passes', async (t) => {
  const { publish, take, count, state, faults, keys } = open(t);
  await publish(bob, { oneTime: stock(1, 1) });
  state.failing = true;
  for (const answer of [
    await publish(bob, { oneTime: stock(2, 1) }),
    await take(alice, bob),
    await count(bob),
  ]) {
    const { reason, retryAfterMs } = refused(answer);
    assert.equal(reason, Reason.UNAVAILABLE);
    assert.ok(retryAfterMs > 0);
  }
  assert.deepEqual(faults, ['no room', 'no room', 'no room']);
  assert.equal(keys.counts().unavailable, 3);
  state.failing = false;
  assert.equal(got(await take(alice, bob)), 1);
});

test('the store of version 0.1.0 gets prekeys and keeps what it has', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'prekeys-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'bootstrap.db');
  await writeFile(file, gunzipSync(await readFile(RELEASED)));
  const { publish, take, database, close } = open(t, { file });
  t.after(close);
  assert.equal(database.prepare('PRAGMA user_version').get()!['user_version'], BOOTSTRAP_STORE_VERSION);
  assert.equal(database.prepare('SELECT count(*) AS n FROM mailbox_blob').get()!['n'], 1);
  await publish(bob, { oneTime: stock(1, 1) });
  assert.equal(got(await take(alice, bob)), 1);
});

test('a store that was salvaged has no one-time prekeys and counts right', async (t) => {
  const { publish, count, take, database } = open(t);
  await publish(alice, { oneTime: stock(1, 3) });
  await publish(bob, { oneTime: stock(1, 3), lastResort: prekey(9) });
  await publish(carol, { lastResort: prekey(8) });
  // The page with the owners is gone; what its index knows is left. Carol's entry is gone from that as well.
  database.exec(LOST_COLUMNS_SCHEMA);
  database
    .prepare("INSERT INTO lost_columns VALUES ('prekey_owner', 2, 'peer_id', ?)")
    .run(peerIdToBytes(bob));
  database.exec('DELETE FROM prekey_owner; INSERT INTO prekey_usage VALUES (77)');
  assert.deepEqual(mendBootstrapStore(database), { blobs: 0, names: [] });
  database.exec('DROP TABLE lost_columns');
  assert.deepEqual(await count(alice), { type: 'prekeys-counted', oneTimeIds: [], lastResortId: undefined });
  assert.equal(got(await take(alice, bob)), -9);
  assert.equal(refused(await take(alice, carol)).reason, Reason.NONE);
  const bytes = database
    .prepare('SELECT bytes FROM prekey_usage')
    .all()
    .map((row) => row['bytes']);
  assert.deepEqual(bytes, [PREKEY_ROW_BYTES + prekey(9).prekey.byteLength]);
  assert.equal(database.prepare('SELECT count(*) AS n FROM prekey_owner').get()!['n'], 1);
  assert.deepEqual(await publish(alice, { oneTime: stock(1, 3) }), { type: 'prekeys-published', left: 3 });
});
