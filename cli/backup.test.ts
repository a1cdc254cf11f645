import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { ControlOperations, OperationInput } from '../protocols/control/contract.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { runCli } from './cli-process.ts';
import { fakeDaemon } from './fake-daemon.ts';

const ENV = { TINCAN_BACKUP_PASSPHRASE: 'only for the file' };

async function daemonFor(t: TestContext, overrides: Partial<ControlOperations> = {}) {
  const daemon = await fakeDaemon(overrides);
  const folder = mkdtempSync(join(tmpdir(), 'tincan-'));
  t.after(async () => {
    rmSync(folder, { recursive: true });
    await daemon.remove();
  });
  const tincan = (args: string[], env: NodeJS.ProcessEnv = ENV) =>
    runCli([...args, '--data-dir', daemon.dataDir], { env });
  return { folder, tincan };
}

void test('backup: the daemon is given the whole path and the passphrase of the file', async (t) => {
  const asked: OperationInput<'backup'>[] = [];
  const { folder, tincan } = await daemonFor(t, {
    backup: (input) => {
      asked.push(input);
      return {
        file: input.file,
        peerId: '12D3KooWada',
        madeAt: '2026-11-20T09:05:00.000Z',
        bytes: 1_234_567,
      };
    },
  });
  const file = join(folder, 'ada');
  const made = await tincan(['backup', file]);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /has all of 12D3KooWada: .* 1\.2 MB\./);
  writeFileSync(join(folder, 'passphrase'), 'from a file\n');
  const args = ['backup', file, '--force', '--json', '--passphrase-file', join(folder, 'passphrase')];
  const { bytes } = JSON.parse((await tincan(args)).stdout) as { bytes: number };
  assert.equal(bytes, 1_234_567);
  assert.deepEqual(asked, [
    { file, passphrase: 'only for the file', force: false },
    { file, passphrase: 'from a file', force: true },
  ]);

  writeFileSync(file, '');
  const there = await tincan(['backup', file]);
  assert.deepEqual(
    [there.code, there.stderr],
    [1, `tincan backup: ${file} is there already; --force replaces a backup\n`],
  );
});

void test('backup: who gives no passphrase, or whose daemon is locked, is told what to do', async (t) => {
  const { folder, tincan } = await daemonFor(t);
  const none = await tincan(['backup', join(folder, 'ada')], {});
  assert.equal(none.code, 1);
  assert.match(none.stderr, /terminal.*--passphrase-file.*TINCAN_BACKUP_PASSPHRASE\n$/);
  const locked = await daemonFor(t, {
    identity: () => {
      throw new ControlError('locked', 'the daemon is locked', { hint: 'unlock it' });
    },
  });
  const refused = await locked.tincan(['backup', join(folder, 'ada')], {});
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /locked\nunlock it with: tincan unlock\n$/);
});

void test('backup and restore: a data directory with nothing in it, or with something', async (t) => {
  const { folder, tincan } = await daemonFor(t);
  const empty = await runCli(['backup', join(folder, 'b'), '--data-dir', join(folder, 'none')], { env: ENV });
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /nothing to back up/);
  assert.ok(!existsSync(join(folder, 'none')));
  const full = await tincan(['restore', join(folder, 'b')]);
  assert.equal(full.code, 1);
  assert.match(full.stderr, /not empty.*--data-dir/);
  assert.equal((await tincan(['restore'])).code, 2);
  const missing = await runCli(['restore', join(folder, 'b'), '--data-dir', join(folder, 'none')], {
    env: ENV,
  });
  assert.equal(missing.code, 4);
  assert.match(missing.stderr, /^tincan restore: there is nothing to read: .*no such file.*\n$/);
});
