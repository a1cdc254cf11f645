import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { loadOrCreateIdentity } from '../protocols/transport/identity-file.ts';
import type { Diagnosis } from '../protocols/group-commit/doctor.ts';
import { examineDaemon } from './doctor.ts';
import { encodeDataKey, newDataKey } from './at-rest/data-key.ts';
import { keyFileOf } from './at-rest/key-file.ts';
import { writeSecretFile } from './at-rest/secret-file.ts';
import { TEST_DATA_KEY, testStore } from './store/store-fixture.ts';
import { storeWarnings } from './store-warnings.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';

/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

async function home(t: TestContext): Promise<string> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tincan-doctor-test-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  await loadOrCreateIdentity(join(dataDir, 'identity.key'));
  writeSecretFile(keyFileOf(dataDir), encodeDataKey(TEST_DATA_KEY, null));
  const store = testStore(join(dataDir, 'daemon.db'));
  store.operations['messages.send']({ items: [{ peer: '12D3KooWBen', text: 'hello' }], nowMs: 1000 });
  store.close();
  return dataDir;
}

const look = (dataDir: string, options: { repair?: boolean; startEmpty?: boolean; nowMs?: number } = {}) =>
  examineDaemon(
    dataDir,
    { repair: false, startEmpty: false, nowMs: Date.now(), ...options },
    async () => null,
  );

/** Names of what is wrong. */
const wrong = ({ checks }: Diagnosis): string[] => checks.filter(({ ok }) => !ok).map(({ name }) => name);

void test('what is well is said to be, and left as it is', async (t) => {
  const dataDir = await home(t);
  const { ok, checks, repair } = await look(dataDir, { repair: true });
  assert.ok(ok, JSON.stringify(checks));
  assert.equal(repair, null);
  assert.deepEqual(readdirSync(dataDir).toSorted(), ['daemon.db', 'data.key', 'identity.key']);
});

void test('each thing that is wrong is named, with what to do', async (t) => {
  const dataDir = await home(t);
  const file = join(dataDir, 'daemon.db');
  assert.deepEqual(wrong(await look(dataDir, { nowMs: 0 })), ['clock']);

  chmodSync(dataDir, 0o755);
  const open = await look(dataDir);
  assert.deepEqual(wrong(open), ['data directory']);
  assert.equal(open.checks[0]!.todo, `chmod 700 ${dataDir}`);
  chmodSync(dataDir, 0o700);

  rmSync(join(dataDir, 'identity.key'));
  assert.deepEqual(wrong(await look(dataDir)), ['identity key']);
  writeFileSync(join(dataDir, 'identity.key'), 'no key', { mode: 0o600 });
  const key = await look(dataDir);
  assert.deepEqual(wrong(key), ['identity key']);
  assert.doesNotMatch(JSON.stringify(key), /no key/);
  rmSync(join(dataDir, 'identity.key'));
  await loadOrCreateIdentity(join(dataDir, 'identity.key'));

  const database = new DatabaseSync(file);
  database.exec('PRAGMA user_version = 99');
  database.close();
  assert.deepEqual(wrong(await look(dataDir, { repair: true })), ['version']);
});

void test('where nothing can be read, nothing is done without being told to', async (t) => {
  const dataDir = await home(t);
  const file = join(dataDir, 'daemon.db');
  writeFileSync(file, Buffer.alloc(50_000));
  const refused = await look(dataDir, { repair: true });
  assert.deepEqual(wrong(refused), ['database', 'repair']);
  assert.match(refused.checks.find(({ name }) => name === 'repair')!.todo!, /--start-empty/);
  assert.deepEqual(readdirSync(dataDir).toSorted(), ['daemon.db', 'data.key', 'identity.key']);
  const begun = await look(dataDir, { repair: true, startEmpty: true });
  assert.ok(begun.ok);
  assert.ok(existsSync(begun.repair!.damaged));
  assert.ok((await look(dataDir)).ok);
});

void test('without the right data key, nothing is taken for damaged', async (t) => {
  const dataDir = await home(t);
  const sealed = readFileSync(join(dataDir, 'daemon.db'));
  rmSync(keyFileOf(dataDir));
  const missing = await look(dataDir, { repair: true });
  assert.deepEqual(wrong(missing), ['data key']);
  assert.match(missing.checks[0]!.detail, /missing/);
  writeSecretFile(keyFileOf(dataDir), encodeDataKey(newDataKey(), null));
  const foreign = await look(dataDir, { repair: true });
  assert.deepEqual(wrong(foreign), ['database']);
  assert.match(JSON.stringify(foreign.checks), /not the key/);
  writeFileSync(keyFileOf(dataDir), 'no key');
  assert.deepEqual(wrong(await look(dataDir, { repair: true })), ['data key']);
  assert.deepEqual(readFileSync(join(dataDir, 'daemon.db')), sealed);
  const asked = { repair: false, startEmpty: false, nowMs: Date.now() };
  writeSecretFile(keyFileOf(dataDir), encodeDataKey(TEST_DATA_KEY, 'a passphrase', CHEAP));
  assert.ok((await examineDaemon(dataDir, asked, async () => 'a passphrase')).ok);
  await assert.rejects(
    examineDaemon(dataDir, asked, async () => 'another one'),
    { code: 'wrong-passphrase' },
  );
});

void test('an empty data directory is no fault', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tincan-doctor-test-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  assert.deepEqual(wrong(await look(dataDir)), []);
});

void test('a store that fails is told of once of each kind, also what was before anybody listened', () => {
  const warnings = storeWarnings('/home/ada');
  const told: string[] = [];
  warnings.failed(new StoreError('malformed', 'corrupt'));
  warnings.tell((text) => told.push(text));
  warnings.failed(Object.assign(new Error('malformed'), { errcode: 11 }));
  warnings.failed(new StoreError('full', 'disk-full'));
  warnings.failed(new StoreError('failing', 'io'));
  warnings.failed(new StoreError('failing', 'io'));
  assert.equal(told.length, 2);
  assert.match(told[0]!, /damaged.*tincan doctor --repair --data-dir \/home\/ada/);
  assert.match(told[1]!, /the disk reported an error/);
});
