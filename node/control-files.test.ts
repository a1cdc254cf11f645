import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { controlFiles } from './control-files.ts';

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-control-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

void test('the token is made once, for its owner alone', async (t) => {
  const folder = await temporaryFolder(t);
  const { token, socketPath } = await controlFiles(folder);
  assert.match(token, /^[\w-]{43}$/);
  assert.equal(socketPath, join(folder, 'control.sock'));
  assert.equal((await controlFiles(folder)).token, token);
  assert.equal((await stat(join(folder, 'control.token'))).mode & 0o777, 0o600);
});

void test('a token that a crash cut short, or that others could read, is made anew', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'control.token');
  for (const content of ['', '\n', 'short', 'x'.repeat(42)]) {
    await writeFile(file, content, { mode: 0o600 });
    const { token } = await controlFiles(folder);
    assert.match(token, /^[\w-]{43}$/);
    assert.equal((await readFile(file, 'utf8')).trim(), token);
  }
  const { token } = await controlFiles(folder);
  await chmod(file, 0o644);
  assert.notEqual((await controlFiles(folder)).token, token);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

void test('the announcement appears whole, also over the rest of a crash, and can be withdrawn twice', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'daemon.json.new'), '{"half', { mode: 0o644 });
  const files = await controlFiles(folder);
  await files.announce('http://127.0.0.1:1');
  const file = join(folder, 'daemon.json');
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), {
    pid: process.pid,
    socket: files.socketPath,
    http: 'http://127.0.0.1:1',
    tokenFile: join(folder, 'control.token'),
  });
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await files.withdraw();
  await files.withdraw();
  assert.deepEqual(await readdir(folder), ['control.token']);
});

void test('a data directory whose path is too long for a socket gets one elsewhere, if that is ours', async (t) => {
  const folder = await temporaryFolder(t);
  const long = join(folder, 'x'.repeat(100));
  await mkdir(long);
  const { XDG_RUNTIME_DIR: before } = process.env;
  t.after(() => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
  });
  process.env['XDG_RUNTIME_DIR'] = folder;
  const { socketPath } = await controlFiles(long);
  assert.equal(dirname(dirname(socketPath)), folder);
  assert.equal((await controlFiles(long)).socketPath, socketPath);
  await chmod(dirname(socketPath), 0o777);
  await assert.rejects(controlFiles(long), /belongs to somebody else/);
  process.env['XDG_RUNTIME_DIR'] = '';
  const { socketPath: elsewhere } = await controlFiles(long);
  t.after(() => rm(dirname(elsewhere), { recursive: true, force: true }));
  assert.ok(elsewhere.startsWith(tmpdir()));
});
