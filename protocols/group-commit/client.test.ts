import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { StoreClient } from './client.ts';
import type { StoreError } from './operations.ts';
import { fixtureStore } from './store-fixture.ts';
import type { FixtureOperations } from './store-fixture.ts';
import type { FixtureData } from './store-fixture-worker.ts';
import { STORE_PRAGMAS } from './worker.ts';

const WORKER = './store-fixture-worker';

async function databaseFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-group-commit-'));
  t.after(() => rm(folder, { recursive: true }));
  return join(folder, 'store.db');
}

async function open(
  t: TestContext,
  file: string,
  fault?: FixtureData['fault'],
): Promise<StoreClient<FixtureOperations>> {
  const data: FixtureData = { file, ...(fault === undefined ? {} : { fault }) };
  const store = await StoreClient.open<FixtureOperations>(import.meta, WORKER, data);
  t.after(() => store.close());
  return store;
}

/** Holds the worker up until `release`, so that calls gather behind it. */
function hold(store: StoreClient<FixtureOperations>) {
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const blocked = store.call('block', flag);
  return {
    blocked,
    release: () => {
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
    },
  };
}

void test('what is asked for in one turn is one transaction, in order', async (t) => {
  const store = await open(t, await databaseFile(t));
  const values = Array.from({ length: 1000 }, (_, i) => `item ${i}`);
  const asked = values.map((value) => store.call('add', value));
  assert.equal(store.waiting, 1000);
  assert.deepEqual(
    await Promise.all(asked),
    values.map((_, i) => i + 1),
  );
  assert.equal(store.waiting, 0);
  assert.deepEqual(await store.call('all', undefined), values);
  assert.equal((await store.call('counts', undefined)).transactions, 3);
});

void test('what gathers during a commit is one transaction too', async (t) => {
  const store = await open(t, await databaseFile(t));
  const { blocked, release } = hold(store);
  const asked: Promise<unknown>[] = [];
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    asked.push(store.call('add', `item ${i}`));
  }
  await new Promise((resolve) => setImmediate(resolve));
  release();
  await Promise.all([blocked, ...asked]);
  // The one that was held up, the ten that gathered, and the one that asks. The first of the ten may have joined the held one.
  assert.ok((await store.call('counts', undefined)).transactions <= 3);
});

void test('a failing call rejects with its code, the others resolve', async (t) => {
  const store = await open(t, await databaseFile(t));
  const outcomes = await Promise.allSettled([
    store.call('add', 'a'),
    store.call('addAndRefuse', 'b'),
    store.call('addAndThrow', 'c'),
    store.call('add', 'd'),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
  for (const [i, code, message] of [
    [1, 'newer-version', 'b is refused'],
    [2, 'internal', 'c is a fault'],
  ] as const) {
    const error = (outcomes[i] as PromiseRejectedResult).reason as StoreError;
    assert.deepEqual([error.name, error.code, error.message], ['StoreError', code, message]);
  }
  assert.deepEqual(await store.call('all', undefined), ['a', 'd']);
});

void test('a full disk is told, and room made later is used', async (t) => {
  const store = await open(t, await databaseFile(t));
  await store.call('limitPages', 10);
  await assert.rejects(store.call('fill', 1_000_000), { name: 'StoreError', code: 'disk-full' });
  await store.call('limitPages', 10_000);
  await store.call('fill', 1_000_000);
  assert.equal((await store.call('all', undefined)).length, 1);
});

void test('closing finishes what was asked for, and takes no more', async (t) => {
  const file = await databaseFile(t);
  const store = await open(t, file);
  const asked = Array.from({ length: 10 }, (_, i) => store.call('add', `item ${i}`));
  const closing = store.close();
  await assert.rejects(store.call('add', 'late'), { name: 'StoreError', code: 'closed' });
  assert.equal((await Promise.all(asked)).length, 10);
  await closing;
  await store.close();
  assert.equal(store.waiting, 0);

  await using again = await open(t, file);
  assert.equal((await again.call('all', undefined)).length, 10);
});

void test('a worker that goes away rejects what waits, and what comes after', async (t) => {
  const store = await open(t, await databaseFile(t));
  const { blocked, release } = hold(store);
  await new Promise((resolve) => setImmediate(resolve));
  const waiting = Promise.allSettled([
    store.call('add', 'a'),
    store.call('exit', undefined),
    store.call('add', 'b'),
  ]);
  release();
  for (const outcome of await waiting) {
    assert.equal(outcome.status, 'rejected');
    assert.deepEqual((outcome.reason as { code: string }).code, 'closed');
  }
  await Promise.allSettled([blocked]);
  await assert.rejects(store.call('add', 'c'), { name: 'StoreError', code: 'closed' });
  assert.equal(store.waiting, 0);
  await store.close();
});

void test('a worker that breaks down says what broke', async (t) => {
  const store = await open(t, await databaseFile(t));
  const message = 'the store broke down: the worker fell over';
  // Its answer may be lost with the thread, and what is asked for next may meet the news of that or its end.
  await Promise.allSettled([store.call('throwLater', undefined)]);
  await assert.rejects(store.call('add', 'a'), (error: Error) =>
    [message, 'the store is closed'].includes(error.message),
  );
  assert.equal((await store.brokenDown).message, message);
  await assert.rejects(store.call('add', 'b'), { name: 'StoreError', code: 'closed' });
  await store.close();
});

void test('a store in this thread groups the calls of a turn, and fails and closes like one in its own', async (t) => {
  const openHere = (file: string) => {
    const database = new DatabaseSync(file);
    database.exec(STORE_PRAGMAS);
    return fixtureStore(database);
  };
  const file = await databaseFile(t);
  const store = StoreClient.openHere(({ file }) => openHere(file), { file });
  t.after(() => store.close());
  const { transactions } = await store.call('counts', undefined);
  const outcomes = await Promise.allSettled([
    store.call('add', 'a'),
    store.call('addAndRefuse', 'b'),
    store.call('add', 'c'),
    store.call('all', undefined),
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code)),
    [1, 'newer-version', 2, ['a', 'c']],
  );
  assert.equal((await store.call('counts', undefined)).transactions, transactions + 2);
  const late = store.call('add', 'd');
  await store.close();
  assert.equal(await late, 3);
  await assert.rejects(store.call('add', 'e'), { name: 'StoreError', code: 'closed' });
  const again = StoreClient.openHere(({ file }) => openHere(file), { file });
  assert.deepEqual(await again.call('all', undefined), ['a', 'c', 'd']);
  await again.close();
  const broken = (): never => {
    throw new TypeError('a fault');
  };
  assert.throws(() => StoreClient.openHere(broken, { file }), { name: 'StoreError', code: 'internal' });
});

void test('a store that can not be opened says why', async (t) => {
  const file = await databaseFile(t);
  await assert.rejects(open(t, file, 'newer-version'), {
    name: 'StoreError',
    code: 'newer-version',
    message: 'written by a newer one',
  });
  await assert.rejects(open(t, file, 'exit'), { name: 'StoreError', code: 'closed' });
  await assert.rejects(open(t, file, 'throw'), {
    name: 'StoreError',
    code: 'internal',
    message: 'a fault',
  });
  await assert.rejects(open(t, join(file, 'no', 'such', 'folder')), { name: 'StoreError', code: 'io' });
  await assert.rejects(StoreClient.open(import.meta, './no-such-worker', { file }), {
    name: 'StoreError',
    code: 'internal',
    message: /no-such-worker/,
  });
  // Nothing of these holds the file.
  await open(t, file);

  const damaged = `${file}.damaged`;
  await writeFile(damaged, 'not a database, but long enough to be taken for one '.repeat(100));
  await assert.rejects(open(t, damaged), { name: 'StoreError', code: 'corrupt' });
});

void test('a file that another process has is refused, by name, until that process ends', async (t) => {
  const file = await databaseFile(t);
  const program = `
    import(${JSON.stringify(new URL('./client.ts', import.meta.url).href)}).then(async ({ StoreClient }) => {
      const from = ${JSON.stringify({ filename: import.meta.filename, url: import.meta.url })};
      const store = await StoreClient.open(from, ${JSON.stringify(WORKER)}, ${JSON.stringify({ file })});
      await store.call('add', 'theirs');
      console.log('open');
      process.stdin.resume();
    });`;
  const other = spawn(process.execPath, ['--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => other.kill('SIGKILL'));
  const ended = once(other, 'exit');
  await once(other.stdout, 'data');
  const held = {
    name: 'StoreError',
    code: 'held',
    message: `another process has ${file} open; stop it or choose another data directory`,
  };
  await assert.rejects(open(t, file), held);
  await assert.rejects(open(t, file), held);

  other.kill('SIGKILL');
  await ended;
  const store = await open(t, file);
  assert.deepEqual(await store.call('all', undefined), ['theirs']);
  await assert.rejects(open(t, file), held);
});
