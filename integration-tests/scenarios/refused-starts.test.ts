import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { runCommand, tincan } from '../harness/command.ts';
import { scenario } from '../harness/scenario.ts';

const LOOPBACK = '--listen=/ip4/127.0.0.1/tcp/0';

scenario('what is wrong with the command line or the configuration ends with 2', async (town) => {
  const { signal, folder } = town;
  await writeFile(join(folder, 'bad.toml'), 'listen = "not-a-list"\n');
  await writeFile(join(folder, 'unknown.toml'), 'lisen = []\n');
  await writeFile(join(folder, 'broken.toml'), 'name = \n');
  for (const [args, said] of [
    [['daemon', '--listen', 'nonsense'], /--listen: "nonsense" is no multiaddr.*looks like/s],
    [['daemon', '--bootstrap', '/ip4/127.0.0.1/tcp/4001'], /--bootstrap.*peer id/s],
    [['daemon', '--http', '0.0.0.0:0', LOOPBACK], /loopback/],
    [['daemon', '--name', 'a'.repeat(33), LOOPBACK], /32/],
    [['daemon', '--dht', 'sometimes'], /--dht.*auto, server, client/s],
    [['daemon', '--config', join(folder, 'bad.toml')], /listen/],
    [['daemon', '--config', join(folder, 'unknown.toml')], /lisen/],
    [['daemon', '--config', join(folder, 'broken.toml')], /broken\.toml/],
    [['daemon', '--no-such-flag'], /--no-such-flag/],
    [['bootstrap', '--max-connections', '-1'], /--max-connections/],
    [['bootstrap', '--announce', '/ip4/300.0.0.1/tcp/1'], /--announce/],
  ] as const) {
    const { code, stdout, stderr } = await tincan([...args, '--data-dir', join(folder, 'never')], { signal });
    assert.match(stderr, said, args.join(' '));
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.equal(stdout, '');
  }
});

scenario('a data directory belongs to one process at a time', async (town) => {
  const { signal } = town;
  const [phonebook, ada] = await Promise.all([town.bootstrap(), town.daemon('ada')]);
  for (const [program, dataDir] of [
    ['daemon', ada.dataDir],
    ['bootstrap', phonebook.dataDir],
  ] as const) {
    const second = await tincan(
      [program, '--data-dir', dataDir, LOOPBACK, '--http', '127.0.0.1:0', '--log-level', 'silent'],
      { signal },
    );
    assert.equal(second.code, 1, second.stderr);
    assert.match(second.stderr, /another (tincan )?process/);
    assert.ok(second.stderr.includes(dataDir), second.stderr);
    assert.equal(second.stdout, '');
  }
  // The first one did not notice.
  assert.equal((await ada.client.call('status', {}, { signal })).peerId, ada.peerId);
  await ada.program.kill();
  await ada.program.start();
});

scenario('a port that is in use is named, with what to do', async (town) => {
  const { signal, folder } = town;
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  for (const program of ['daemon', 'bootstrap']) {
    for (const args of [
      ['--listen', `/ip4/127.0.0.1/tcp/${port}`, '--http', '127.0.0.1:0'],
      [LOOPBACK, '--http', `127.0.0.1:${port}`],
    ]) {
      const { code, stderr } = await tincan(
        [program, '--data-dir', join(folder, program), '--log-level', 'silent', ...args],
        { signal },
      );
      assert.equal(code, 1, stderr);
      assert.match(stderr, new RegExp(`${port}.*(in use|uses this port).*(another|choose)`, 's'));
    }
  }
  taken.close();
});

scenario('a data directory that cannot be one', async (town) => {
  const { signal, folder } = town;
  await writeFile(join(folder, 'file'), '');
  const { code, stderr } = await tincan(['daemon', '--data-dir', join(folder, 'file'), LOOPBACK], { signal });
  assert.equal(code, 1, stderr);
  assert.ok(stderr.includes(join(folder, 'file')), stderr);
  await mkdir(join(folder, 'damaged'));
  await writeFile(join(folder, 'damaged/daemon.db'), 'this is no database'.repeat(500));
  const damaged = await tincan(['daemon', '--data-dir', join(folder, 'damaged'), LOOPBACK], { signal });
  assert.equal(damaged.code, 1, damaged.stderr);
  assert.match(damaged.stderr, /daemon\.db|damaged/);
});

const { code: mounts } = await mountTest();

scenario(
  'a full disk: what was taken is kept and delivered, what was not is refused',
  async (town) => {
    const { signal, folder } = town;
    const small = join(folder, 'small');
    await mkdir(small);
    const run = async (...command: string[]): Promise<void> => {
      const { code, stderr } = await runCommand(command, { signal });
      assert.equal(code, 0, stderr);
    };
    await run('mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', small);
    try {
      const [ada, ben] = await Promise.all([
        town.daemon('ada', { dataDir: join(small, 'ada') }),
        town.daemon('ben'),
      ]);
      const { invite } = await ben.client.call('invite', {}, { signal });
      await ada.client.call('addContact', { who: invite, petname: 'ben' }, { signal });
      const text = 'x'.repeat(40_000);
      let taken = 0;
      let refusal: unknown;
      while (refusal === undefined && taken < 200) {
        await ada.client.call('send', { to: 'ben', text: `${taken} ${text}` }, { signal }).then(
          () => taken++,
          (error: unknown) => {
            refusal = error;
          },
        );
      }
      assert.equal((refusal as { code?: string }).code, 'disk-full', String(refusal));
      assert.match((refusal as { hint: string }).hint, /free some space/);
      assert.equal((await ada.client.call('status', {}, { signal })).peerId, ada.peerId);
      const told = await tincan(['send', 'ben', text], { signal, env: { TINCAN_HOME: ada.dataDir } });
      assert.equal(told.code, 1);
      assert.match(told.stderr, /disk is full/);

      await run('mount', '-o', 'remount,size=64m', small);
      await ada.send('ben', 'there is room again', 'delivered');
      const texts = await ben.texts(taken + 1);
      assert.deepEqual(
        texts.map((each) => Number(each.split(' ')[0])).slice(0, taken),
        Array.from({ length: taken }, (_, index) => index),
      );
      assert.equal(texts.at(-1), 'there is room again');
      await ada.program.kill();
    } finally {
      await runCommand(['umount', '--lazy', small], { signal: AbortSignal.timeout(10_000) });
    }
  },
  { skip: mounts === 0 ? false : 'a small file system can be mounted by root only' },
);

/** Whether this user may mount. */
async function mountTest(): Promise<{ code: number | null }> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return { code: 1 };
  return runCommand(['unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], {
    signal: AbortSignal.timeout(10_000),
  }).catch(() => ({ code: 1 }));
}
