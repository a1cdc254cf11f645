import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tincan } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';

scenario('flags win over the environment, the environment over the file', async (town) => {
  const { signal } = town;
  const dataDir = join(town.folder, 'home');
  await mkdir(dataDir);
  await writeFile(
    join(dataDir, 'config.toml'),
    'name = "file"\nhttp = "127.0.0.1:1"\nunlisted = true\nread_receipts = false\n',
  );
  const show = async (args: string[], env: NodeJS.ProcessEnv = {}) => {
    const { code, stdout, stderr } = await tincan(['config', ...args, '--json'], {
      signal,
      env: { TINCAN_HOME: dataDir, ...env },
    });
    assert.equal(code, 0, stderr);
    const { settings } = JSON.parse(stdout) as {
      settings: Record<string, { value: unknown; source: string }>;
    };
    return (key: string) => [settings[key]!.value, settings[key]!.source];
  };
  const env = { TINCAN_NAME: 'environment', TINCAN_HTTP: '127.0.0.1:2' };

  const fromFile = await show([]);
  assert.deepEqual(fromFile('name'), ['file', 'file']);
  assert.deepEqual(fromFile('dht'), ['auto', 'default']);
  assert.deepEqual(fromFile('data_dir'), [dataDir, 'environment']);
  const fromEnvironment = await show([], env);
  assert.deepEqual(fromEnvironment('name'), ['environment', 'environment']);
  assert.deepEqual(fromEnvironment('unlisted'), [true, 'file']);
  const fromFlags = await show(['--name', 'flag', '--no-unlisted'], env);
  assert.deepEqual(fromFlags('name'), ['flag', 'flag']);
  assert.deepEqual(fromFlags('http'), ['127.0.0.1:2', 'environment']);
  assert.deepEqual(fromFlags('unlisted'), [false, 'flag']);
  assert.deepEqual(fromFlags('read_receipts'), [false, 'file']);
});

scenario('a daemon runs with what the file says', async (town) => {
  const phonebook = await town.bootstrap();
  const dataDir = join(town.folder, 'home');
  await mkdir(dataDir);
  await writeFile(
    join(dataDir, 'config.toml'),
    `name = "ada"\nbootstrap = ["${phonebook.multiaddr}"]\nunlisted = true\n`,
  );
  const ada = await town.daemon('ada', { dataDir });
  await ada.connected();
  assert.equal(await ada.knows('ada'), ada.peerId);
});
