import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { loadOrCreateIdentity } from '../../protocols/transport/identity-file.ts';
import { newDataKey } from './data-key.ts';
import {
  changePassphrase,
  keyFileOf,
  keyStateOf,
  openKeyFile,
  openOrCreateKeyFile,
  requireKeyFile,
} from './key-file.ts';
import { rowSealer } from './row-sealer.ts';
import { isSealedIdentity, readIdentity, sealedIdentity } from './sealed-identity.ts';

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

function folder(t: TestContext): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'tincan-at-rest-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  return dataDir;
}

void test('a key is made once, for its owner alone', (t) => {
  const dataDir = folder(t);
  assert.equal(keyStateOf(dataDir), 'absent');
  assert.equal(openKeyFile(dataDir, null), undefined);
  assert.throws(() => requireKeyFile(dataDir, null), { name: 'DataKeyError', code: 'missing' });
  const made = openOrCreateKeyFile(dataDir, 'a passphrase', CHEAP);
  assert.equal(keyStateOf(dataDir), 'wrapped');
  assert.deepEqual(openOrCreateKeyFile(dataDir, 'a passphrase', CHEAP), made);
  assert.throws(() => openOrCreateKeyFile(dataDir, 'another one', CHEAP), { code: 'wrong-passphrase' });
  assert.deepEqual(readdirSync(dataDir), ['data.key']);
  if (process.platform === 'win32') return;
  assert.equal(statSync(keyFileOf(dataDir)).mode & 0o777, 0o600);
  chmodSync(keyFileOf(dataDir), 0o644);
  assert.throws(() => keyStateOf(dataDir), { code: 'exposed', message: /chmod 600/ });
});

void test('another passphrase opens the same key, and the old one nothing', (t) => {
  const dataDir = folder(t);
  assert.throws(() => changePassphrase(dataDir, null, null), /no data key/);
  const dataKey = openOrCreateKeyFile(dataDir, null);
  changePassphrase(dataDir, null, 'the first one', CHEAP);
  assert.deepEqual(openKeyFile(dataDir, 'the first one'), dataKey);
  const before = readFileSync(keyFileOf(dataDir));
  for (const [from, to] of [
    ['a wrong one', 'the second one'],
    ['the first one', 'short'],
  ] as const) {
    assert.throws(() => changePassphrase(dataDir, from, to, CHEAP), { name: 'DataKeyError' });
    assert.deepEqual(readFileSync(keyFileOf(dataDir)), before, 'nothing has changed');
  }
  changePassphrase(dataDir, 'the first one', 'the second one', CHEAP);
  assert.throws(() => openKeyFile(dataDir, 'the first one'), { code: 'wrong-passphrase' });
  assert.deepEqual(openKeyFile(dataDir, 'the second one'), dataKey);
  changePassphrase(dataDir, 'the second one', null);
  assert.deepEqual(openKeyFile(dataDir, null), dataKey);
});

void test('an identity is made sealed, and opens with its data key alone', async (t) => {
  const file = join(folder(t), 'identity.key');
  const dataKey = newDataKey();
  await assert.rejects(readIdentity(file, rowSealer(dataKey)), { name: 'IdentityFileError' });
  const made = await sealedIdentity(file, rowSealer(dataKey));
  assert.ok(isSealedIdentity(readFileSync(file)));
  assert.equal(readFileSync(file).indexOf(made.raw.subarray(0, 32)), -1);
  for (const read of [sealedIdentity, readIdentity]) {
    const again = await read(file, rowSealer(dataKey));
    assert.deepEqual(again.raw, made.raw);
    const probe = Buffer.from('probe');
    assert.ok(await made.publicKey.verify(probe, await again.sign(probe)));
  }
  await assert.rejects(sealedIdentity(file, rowSealer(newDataKey())), {
    name: 'IdentityFileError',
    message: /data\.key/,
  });
  const bytes = readFileSync(file);
  bytes[bytes.byteLength - 1]! ^= 1;
  writeFileSync(file, bytes);
  await assert.rejects(sealedIdentity(file, rowSealer(dataKey)), {
    name: 'IdentityFileError',
    message: /damaged/,
  });
});

void test('an identity that lies bare is taken over', async (t) => {
  const dataDir = folder(t);
  const file = join(dataDir, 'identity.key');
  const bare = await loadOrCreateIdentity(file);
  const sealer = rowSealer(newDataKey());
  assert.deepEqual((await readIdentity(file, sealer)).raw, bare.raw);
  assert.ok(!isSealedIdentity(readFileSync(file)), 'who only looks changes nothing');
  assert.deepEqual((await sealedIdentity(file, sealer)).raw, bare.raw);
  assert.ok(isSealedIdentity(readFileSync(file)));
  assert.deepEqual(readdirSync(dataDir), ['identity.key']);
  if (process.platform === 'win32') return;
  chmodSync(file, 0o644);
  await assert.rejects(sealedIdentity(file, sealer), { message: /chmod 600/ });
});
