import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tincan } from '../harness/command.ts';
import type { CommandResult } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';

const PASSPHRASE = 'correct horse battery';
const ARGS = ['--listen=/ip4/127.0.0.1/tcp/0', '--http=127.0.0.1:0', '--log-level=silent'];

scenario(
  'a daemon starts with its passphrase and with no other, and the passphrase can be changed',
  async (town) => {
    const { signal, folder } = town;
    const [ada, ben] = await Promise.all([
      town.daemon('ada', { passphrase: PASSPHRASE }),
      town.daemon('ben'),
    ]);
    const { invite } = await ben.client.call('invite', {}, { signal });
    await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
    await ada.send('ben', 'hello', 'delivered');
    const { peerId } = ada;
    const start = (env: Record<string, string>, ...args: string[]): Promise<CommandResult> =>
      tincan(['daemon', `--data-dir=${ada.dataDir}`, ...ARGS, ...args], {
        signal,
        env: { TINCAN_USE_PASSPHRASE: 'true', ...env },
      });
    const change = (env: Record<string, string>, ...args: string[]): Promise<CommandResult> =>
      tincan(['passphrase', 'change', `--data-dir=${ada.dataDir}`, ...args], { signal, env });

    // While it runs.
    const wrong = await change({ TINCAN_PASSPHRASE: 'not the one', TINCAN_NEW_PASSPHRASE: 'another one' });
    assert.deepEqual([wrong.code, wrong.stderr], [1, 'tincan passphrase: the passphrase is wrong\n']);
    const short = await change({ TINCAN_PASSPHRASE: PASSPHRASE, TINCAN_NEW_PASSPHRASE: 'short' });
    assert.equal(short.code, 1);
    assert.match(short.stderr, /8 characters/);
    const none = await change({});
    assert.equal(none.code, 1);
    assert.match(none.stderr, /terminal.*--passphrase-file.*TINCAN_PASSPHRASE/);
    await writeFile(join(folder, 'new'), 'another one\n', { mode: 0o600 });
    const changed = await change(
      { TINCAN_PASSPHRASE: PASSPHRASE },
      `--new-passphrase-file=${join(folder, 'new')}`,
    );
    assert.equal(changed.code, 0, changed.stderr);
    await ada.send('ben', 'nothing happened', 'delivered');
    await ada.program.stop();

    for (const [result, said] of [
      [await start({ TINCAN_PASSPHRASE: PASSPHRASE }), /^tincan daemon: the passphrase is wrong\n$/],
      [
        await start({}),
        /^tincan daemon: a passphrase is needed: .*terminal.*--passphrase-file.*TINCAN_PASSPHRASE\n$/,
      ],
      [await start({}, '--no-passphrase'), /tincan passphrase change --no-passphrase\n$/],
      [await start({}, `--passphrase-file=${join(folder, 'no-such')}`), /no-such/],
    ] as const) {
      assert.match(result.stderr, said);
      assert.deepEqual([result.code, result.stdout], [1, '']);
    }
    const again = await town.daemon('again', {
      dataDir: ada.dataDir,
      args: [`--passphrase-file=${join(folder, 'new')}`],
    });
    assert.equal(again.peerId, peerId);
    const { messages } = await again.client.call('history', { who: 'ben', limit: 10 }, { signal });
    assert.deepEqual(
      messages.map(({ text }) => text),
      ['hello', 'nothing happened'],
    );
    await again.program.stop();

    const without = await change({ TINCAN_PASSPHRASE: 'another one' }, '--no-passphrase');
    assert.equal(without.code, 0, without.stderr);
    const ignored = await start({ TINCAN_PASSPHRASE: 'another one' });
    assert.equal(ignored.code, 1);
    assert.match(ignored.stderr, /none protects this data directory/);
    await town.daemon('at last', { dataDir: ada.dataDir });
  },
);

scenario(
  'a first start says how to give a passphrase, and a store is never opened with a new key',
  async (town) => {
    const { signal, folder } = town;
    const dataDir = join(folder, 'ada');
    const first = await tincan(['daemon', `--data-dir=${dataDir}`, ...ARGS], {
      signal,
      env: { TINCAN_USE_PASSPHRASE: 'true' },
    });
    assert.deepEqual([first.code, first.stdout], [1, '']);
    assert.match(first.stderr, /terminal.*--passphrase-file.*TINCAN_PASSPHRASE.*--no-passphrase/);
    assert.equal(first.stderr.trimEnd().split('\n').length, 1);
    assert.deepEqual(readdirSync(dataDir), []);

    const ada = await town.daemon('ada');
    assert.match(ada.program.log, /no passphrase: whoever gets hold of this disk/);
    await ada.program.stop();
    if (process.platform !== 'win32')
      for (const name of ['data.key', 'identity.key'])
        assert.equal((await stat(join(dataDir, name))).mode & 0o777, 0o600);
    await mkdir(join(folder, 'elsewhere'));
    const key = readFileSync(join(dataDir, 'data.key'));
    await rename(join(dataDir, 'data.key'), join(folder, 'elsewhere/data.key'));
    const lost = await tincan(['daemon', `--data-dir=${dataDir}`, ...ARGS], { signal });
    assert.equal(lost.code, 1);
    assert.match(lost.stderr, /data\.key is missing/);
    assert.ok(!readdirSync(dataDir).includes('data.key'));
    await writeFile(join(dataDir, 'data.key'), key, { mode: 0o600 });
    await ada.program.start();
  },
);

scenario('a locked daemon does nothing and holds its place, until it is unlocked', async (town) => {
  const { signal } = town;
  const [ada, ben] = await Promise.all([town.daemon('ada', { passphrase: PASSPHRASE }), town.daemon('ben')]);
  const { invite } = await ben.client.call('invite', {}, { signal });
  await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
  await ada.send('ben', 'before', 'delivered');
  const run = (...args: string[]): Promise<CommandResult> =>
    tincan([...args, `--data-dir=${ada.dataDir}`], { signal, env: { TINCAN_PASSPHRASE: PASSPHRASE } });

  const open = await tincan(['lock', `--data-dir=${ben.dataDir}`], { signal });
  assert.equal(open.code, 1);
  assert.match(open.stderr, /no passphrase protects this daemon.*tincan passphrase change/s);

  const { pid } = ada.program;
  const locked = await run('lock');
  assert.equal(locked.code, 0, locked.stderr);
  const asked = await run('history', 'ben');
  assert.deepEqual(
    [asked.code, asked.stderr],
    [1, 'tincan: the daemon is locked\nunlock it with: tincan unlock\n'],
  );
  assert.match((await run('send', 'ben', 'unheard')).stderr, /the daemon is locked/);
  // Nobody else gets the data directory meanwhile.
  assert.match((await run('daemon', ...ARGS)).stderr, /another tincan process has/);
  const waits = await ben.client.call('send', { to: ada.peerId, text: 'while you were locked' }, { signal });
  const wrong = await tincan(['unlock', `--data-dir=${ada.dataDir}`], {
    signal,
    env: { TINCAN_PASSPHRASE: 'not the one' },
  });
  assert.deepEqual([wrong.code, wrong.stderr], [1, 'tincan: the passphrase is wrong\n']);

  for (const _time of [1, 2]) {
    const unlocked = await run('unlock');
    assert.deepEqual([unlocked.code, unlocked.stdout], [0, 'Unlocked.\n'], unlocked.stderr);
  }
  assert.equal(ada.program.pid, pid);
  const history = await run('history', 'ben');
  assert.match(history.stdout, /before/);
  assert.doesNotMatch(history.stdout, /unheard/);
  await run('connect', 'ben');
  await ben.reached(waits.id, 'delivered');
  assert.equal((await run('lock')).code, 0);
  assert.equal((await ada.program.stop()).code, 0, 'a locked daemon stops like any other');
});
