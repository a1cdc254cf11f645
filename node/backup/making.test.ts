import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, test } from 'node:test';
import { openKeyFile } from '../at-rest/key-file.ts';
import { readIdentity, sealedIdentity } from '../at-rest/sealed-identity.ts';
import { openDaemonStore } from '../daemon-store.ts';
import type { OpenedStore } from '../daemon-store.ts';
import type { BackupErrorCode } from './backup-error.ts';
import { backupMaker } from './making.ts';
import type { BackupMaker } from './making.ts';
import { openBackup } from './restoring.ts';
import type { OpenBackup } from './restoring.ts';
import { HEADER_BYTES } from './sealed-stream.ts';

const NOW = 1_800_000_000_000;
const PASSPHRASE = 'correct horse battery';
/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const never = new AbortController().signal;

let folder: string;
let dataDir: string;
let opened: OpenedStore;
let backups: BackupMaker;
let peerId: string;

const open = (from: string): Promise<OpenedStore> =>
  openDaemonStore(
    from,
    () => Promise.resolve(null),
    (error) => assert.fail(error),
  );

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tincan-'));
  dataDir = join(folder, 'ada');
  mkdirSync(dataDir, { mode: 0o700 });
  opened = await open(dataDir);
  const key = await sealedIdentity(join(dataDir, 'identity.key'), opened.sealer);
  peerId = key.publicKey.toString();
  backups = backupMaker({ dataDir, ...opened, nowMs: () => NOW });
});
afterEach(async () => {
  await opened.store.close();
  rmSync(folder, { recursive: true });
});

const request = (name = 'b.tincan', force = false) => ({
  file: join(folder, name),
  passphrase: PASSPHRASE,
  force,
});

const send = (store: OpenedStore, text: string) =>
  store.store.call('messages.send', { items: [{ peer: 'ben', text }], nowMs: NOW });

const textsOf = async (store: OpenedStore): Promise<string[]> =>
  (await store.store.call('history.page', { peer: 'ben', limit: 1000 })).map(({ text }) => text);

const openRight = (file: string, to: string, passphrase = PASSPHRASE): Promise<OpenBackup> =>
  openBackup(file, to, () => Promise.resolve(passphrase));

const refusal = (code: BackupErrorCode) => ({ name: 'BackupError', code });

/** Nothing but what belongs there. */
function assertClean(...backupFiles: string[]): void {
  assert.deepEqual(readdirSync(folder).toSorted(), ['ada', ...backupFiles].toSorted());
  assert.ok(!readdirSync(dataDir).some((name) => name.startsWith('backup')));
}

test('what was backed up is restored: identity, settings, messages, under another protection', async () => {
  await send(opened, 'hello');
  writeFileSync(join(dataDir, 'config.toml'), 'name = "ada"\n');
  const made = await backups.make(request(), { signal: never });
  assert.deepEqual(made, { file: request().file, peerId, madeMs: NOW, bytes: statSync(made.file).size });
  if (process.platform !== 'win32') assert.equal(statSync(made.file).mode & 0o777, 0o600);
  assertClean('b.tincan');

  const there = join(folder, 'deep/er');
  const backup = await openRight(made.file, there);
  assert.deepEqual(backup.restore('another passphrase', CHEAP), { peerId, madeMs: NOW });
  backup.close();
  assert.equal(readFileSync(join(there, 'config.toml'), 'utf8'), 'name = "ada"\n');
  if (process.platform !== 'win32') {
    assert.equal(statSync(there).mode & 0o777, 0o700);
    for (const name of readdirSync(there)) assert.equal(statSync(join(there, name)).mode & 0o777, 0o600);
  }
  assert.throws(() => openKeyFile(there, PASSPHRASE), { code: 'wrong-passphrase' });
  const restored = await openDaemonStore(
    there,
    () => Promise.resolve('another passphrase'),
    () => undefined,
  );
  assert.equal(restored.restoredMs, NOW);
  assert.deepEqual(await textsOf(restored), ['hello']);
  const identity = await readIdentity(join(there, 'identity.key'), restored.sealer);
  assert.equal(identity.publicKey.toString(), peerId);
  await restored.store.close();
});

test('a backup that is made while messages are written is of one moment', async () => {
  for (let round = 0; round < 20; round++)
    await Promise.all(Array.from({ length: 50 }, () => send(opened, 'x'.repeat(2000))));
  let done = false;
  let written = 0;
  const writing = (async () => {
    while (!done) {
      await send(opened, `${++written}`);
      await turn();
    }
  })();
  const made = await backups.make(request(), { signal: never });
  done = true;
  await writing;
  assert.ok(written > 10, `${written} were written meanwhile`);
  const there = join(folder, 'there');
  (await openRight(made.file, there)).restore(null);
  const restored = await open(there);
  const [first] = restored.database.prepare('SELECT max(counter) AS last, count(*) AS n FROM messages').all();
  const chain = restored.database.prepare('SELECT max(last_counter) AS last FROM chains').get();
  // After the restore they are all in a new chain.
  assert.equal(first!['n'], first!['last']);
  assert.equal(chain!['last'], first!['last']);
  await restored.store.close();
});

test('a file that is there is replaced only when it is a backup and that was asked for', async () => {
  const { bytes } = await backups.make(request(), { signal: never });
  await assert.rejects(backups.make(request(), { signal: never }), refusal('exists'));
  await send(opened, 'more');
  assert.ok((await backups.make(request('b.tincan', true), { signal: never })).bytes >= bytes);
  writeFileSync(join(folder, 'letter'), 'dear');
  await assert.rejects(backups.make(request('letter', true), { signal: never }), refusal('exists'));
  await assert.rejects(backups.make(request('ada', true), { signal: never }), refusal('exists'));
  assert.equal(readFileSync(join(folder, 'letter'), 'utf8'), 'dear');
  assertClean('b.tincan', 'letter');
});

test('a backup that can not be made leaves nothing', async () => {
  await assert.rejects(
    backups.make({ ...request(), passphrase: 'short' }, { signal: never }),
    refusal('passphrase-unusable'),
  );
  await assert.rejects(backups.make(request('no/such'), { signal: never }), refusal('unwritable'));
  await assert.rejects(
    backups.make({ ...request(), file: 'relative' }, { signal: never }),
    refusal('unwritable'),
  );
  const one = backups.make(request(), { signal: never });
  await assert.rejects(backups.make(request('c'), { signal: never }), refusal('busy'));
  await one;
  await backups.ended();

  for (const afterTurns of [0, 3, 10]) {
    const stop = new AbortController();
    const stopped = backups.make(request('c'), { signal: stop.signal });
    for (let turns = 0; turns < afterTurns; turns++) await turn();
    stop.abort(new Error('enough'));
    await assert.rejects(stopped, /enough/);
  }
  assertClean('b.tincan');
});

test('a data directory is made of a whole backup, or not at all', async () => {
  await send(opened, 'hello');
  const { file } = await backups.make(request(), { signal: never });
  const there = join(folder, 'there');
  const bytes = readFileSync(file);
  for (const [name, damaged] of [
    ['cut off', bytes.subarray(0, -1)],
    ['half', bytes.subarray(0, bytes.byteLength / 2)],
    ['header', bytes.subarray(0, HEADER_BYTES)],
    ['longer', Buffer.concat([bytes, Buffer.of(0)])],
  ] as const) {
    const bad = join(folder, 'bad');
    writeFileSync(bad, damaged);
    const backup = await openRight(bad, there);
    assert.throws(() => backup.restore(null), refusal('damaged'), name);
    backup.close();
    rmSync(bad);
    assertClean('b.tincan');
  }
  await assert.rejects(openRight(file, there, 'not the one'), refusal('wrong-passphrase'));
  const nobodyAsked = (): never => assert.fail('nobody needs to be asked');
  await assert.rejects(openBackup(join(folder, 'none'), there, nobodyAsked), refusal('not-found'));
  await assert.rejects(openBackup(join(dataDir, 'daemon.db'), there, nobodyAsked), refusal('no-backup'));
  await assert.rejects(openBackup(file, dataDir, nobodyAsked), refusal('not-empty'));
  const backup = await openRight(file, there);
  assert.throws(() => backup.restore('short'), { name: 'DataKeyError', code: 'passphrase-unusable' });
  backup.close();
  assertClean('b.tincan');

  const again = await openRight(file, there);
  mkdirSync(there);
  writeFileSync(join(there, 'something'), '');
  assert.throws(() => again.restore(null), refusal('not-empty'));
  rmSync(join(there, 'something'));
  again.restore(null);
  again.close();
  assert.deepEqual(readdirSync(there).toSorted(), ['daemon.db', 'data.key', 'identity.key']);
});
