import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { runCli, spawnCli } from './cli-process.ts';
import { fakeDaemon } from './fake-daemon.ts';
import type { FakeDaemon } from './fake-daemon.ts';
import { PASSPHRASE } from './fake-operations.ts';

async function daemonFor(t: TestContext): Promise<FakeDaemon> {
  const daemon = await fakeDaemon();
  t.after(() => daemon.remove());
  return daemon;
}

/** Runs commands one after another against a daemon. */
function at({ dataDir }: FakeDaemon) {
  return (args: string[], input = '') => runCli(args, { input, env: { TINCAN_HOME: dataDir } });
}

void test('every command has help, which names the exit codes', async () => {
  const { code, stdout } = await runCli(['--help']);
  assert.equal(code, 0);
  assert.match(stdout, /Exit codes:\n {2}0 {2}done\n {2}1/);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+)(?: \[| <| {2})/gm)].map(([, name]) => name!);
  assert.ok(commands.length > 18, commands.join(' '));
  for (const command of commands) {
    const help = await runCli([command, '--help']);
    assert.equal(help.code, 0, command);
    assert.match(help.stdout, /^Usage: tincan /, command);
  }
});

void test('wrong usage ends with 2 and says what is wrong', async (t) => {
  const tincan = at(await daemonFor(t));
  for (const [args, message] of [
    [['no-such'], /unknown command 'no-such'/],
    [['whois'], /missing required argument 'NAME'/],
    [['send', 'ben', 'hi', '--wait', 'read'], /--wait/],
    [['send', 'ben', 'hi', '--timeout', 'soon'], /Expected a time such as/],
    [['history', 'ben', '--limit', '0'], /from 1 to 1000/],
    [
      ['daemon', '--listen', 'nonsense'],
      /--listen: "nonsense" is no multiaddr .* like \/ip4\/0\.0\.0\.0\/tcp\/4001/,
    ],
    [['daemon', '--bootstrap', '/ip4/127.0.0.1/tcp/1'], /--bootstrap: .* ends in the node's peer id/],
    [['bootstrap', '--max-connections', 'many'], /--max-connections is "many"; expected a whole number/],
    [['config', 'daemon', '--http', 'x'], /--http is "x"; expected HOST:PORT/],
  ] as const) {
    const { code, stderr } = await tincan([...args]);
    assert.match(stderr, message);
    assert.equal(code, 2, args.join(' '));
  }
});

void test('without a daemon, commands end with 3 and say how to start one', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-none-'));
  t.after(() => rm(folder, { recursive: true }));
  for (const command of [['status'], ['chat'], ['inbox', '--follow']]) {
    const { code, stderr } = await runCli([...command, '--data-dir', folder]);
    assert.equal(code, 3);
    assert.equal(
      stderr,
      `tincan: no daemon is running for ${folder}; start one with: tincan daemon --data-dir ${folder}\n`,
    );
  }
  const daemon = await daemonFor(t);
  await daemon.stop();
  assert.equal((await at(daemon)(['status'])).code, 3);
});

void test('not found ends with 4, a conflict with 1, and the hint is printed', async (t) => {
  const tincan = at(await daemonFor(t));
  const missing = await tincan(['whois', 'nobody']);
  assert.deepEqual(
    [missing.code, missing.stderr],
    [4, 'tincan: nobody is called nobody\ncheck the spelling\n'],
  );
  assert.equal((await tincan(['send', 'nobody', 'hi'])).code, 4);
  const taken = await tincan(['name', 'claim', 'ben']);
  assert.deepEqual([taken.code, taken.stderr], [1, 'tincan: ben is taken\n']);
});

void test('what remote people are called cannot move the cursor', async (t) => {
  const { stdout } = await at(await daemonFor(t))(['peers']);
  assert.match(stdout, /^ben {12,}connected {2}12D3KooWben$/m);
  assert.match(stdout, /^mal\\x1b\[2Jlory/m);
  assert.ok(!stdout.includes('\u001b'));
});

void test('the verbs about people, for people and as JSON', async (t) => {
  const tincan = at(await daemonFor(t));
  assert.match((await tincan(['status'])).stdout, /2 messages not yet delivered/);
  assert.equal((JSON.parse((await tincan(['status', '--json'])).stdout) as { unread: number }).unread, 1);
  assert.match((await tincan(['id'])).stdout, /12D3KooWSelf/);
  assert.equal((await tincan(['name', 'claim', 'adele'])).stdout, 'You are adele at 1 phonebook.\n');
  assert.equal((await tincan(['name', 'release'])).code, 0);
  assert.match((await tincan(['whois', 'ben'])).stdout, /known from {2}phonebook/);
  assert.equal((await tincan(['add', 'ben', '--as', 'benny'])).stdout, 'benny is a friend: 12D3KooWben\n');
  assert.match((await tincan(['contacts'])).stdout, /^benny {2}\(ben\) {2}connected/);
  const json = JSON.parse((await tincan(['--json', 'contacts'])).stdout) as {
    contacts: { petname: string }[];
  };
  assert.deepEqual(
    json.contacts.map(({ petname }) => petname),
    ['benny'],
  );
  assert.match((await tincan(['connect', 'ben'])).stdout, /Connected to ben directly, 1\.3 ms/);
  assert.equal((await tincan(['disconnect', 'ben'])).stdout, 'Disconnected from ben.\n');
  assert.match((await tincan(['remove', 'ben'])).stdout, /is removed; what was written stays/);
  assert.equal((await tincan(['invite'])).stdout, 'tincan:12D3KooWSelfSelfSelf?n=ada\n');
});

void test('send: words, standard input, states and exit codes', async (t) => {
  const daemon = await daemonFor(t);
  const tincan = at(daemon);
  const first = await tincan(['send', 'ben', 'hello', 'there', '--json']);
  assert.deepEqual(Object.keys(JSON.parse(first.stdout) as object), ['id', 'state', 'to']);
  assert.equal(first.code, 0);
  await tincan(['send', 'ben', '-'], 'two\nlines\n');
  assert.equal((await tincan(['send', 'ben', 'x', '--wait', 'stored'])).code, 0);
  const late = await tincan([
    'send',
    'ben',
    '--wait',
    'delivered',
    '--timeout',
    '50ms',
    '--json',
    '--',
    '-x',
  ]);
  assert.equal(late.code, 5);
  assert.equal((JSON.parse(late.stdout) as { state: string }).state, 'stored');
  assert.match(late.stderr, /not delivered within 0\.05 s; it stays in the outbox/);
  assert.equal((await tincan(['send', 'ben', '-'], '')).code, 2);
  assert.deepEqual(
    daemon.messages.map(({ text }) => text),
    ['hello there', 'two\nlines', 'x', '-x'],
  );
});

void test('history and inbox print one object a line, and unread marks what it printed', async (t) => {
  const daemon = await daemonFor(t);
  const tincan = at(daemon);
  const first = daemon.receive('ben', 'one\u009b2J');
  await tincan(['send', 'ben', 'two']);
  const keys = 'id from fromName to text sentAt receivedAt state seq missing cursor';
  const { stdout } = await tincan(['history', 'ben', '--json']);
  const lines = stdout.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => Object.keys(JSON.parse(line) as object).join(' ')),
    [keys, keys],
  );
  assert.doesNotMatch(stdout, /\u009b/);
  assert.match(
    (await tincan(['history', 'ben'])).stdout,
    / {2}ben {2}one\\x9b2J\n.* {2}you {2}two {2}\(queued here\)\n/,
  );
  assert.deepEqual(daemon.marked, []);
  assert.match((await tincan(['inbox', '--unread'])).stdout, /one/);
  assert.deepEqual(daemon.marked, [first.id]);
  assert.equal((await tincan(['inbox', '--unread'])).stdout, '');
  assert.match((await tincan(['inbox'])).stdout, /one/);
});

void test('search prints the place that was found, newest first, and says when it has not looked everywhere', async (t) => {
  const daemon = await daemonFor(t);
  const tincan = at(daemon);
  daemon.receive('ben', `${'before '.repeat(20)}the swan\u009b2J\n${'after '.repeat(40)}`);
  await tincan(['send', 'mallory', 'a swan']);
  const both = await tincan(['search', 'swan']);
  assert.deepEqual([both.code, both.stderr], [0, '']);
  assert.match(
    both.stdout,
    / {2}you to …Wmallory {2}\| a swan\n.* {2}ben {2,}\| ….{36}the swan\\x9b2J after .*…\n$/,
  );
  assert.deepEqual(
    (await tincan(['search', 'swan', '--with', 'ben', '--json'])).stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { matches: unknown }).matches),
    [[{ start: 144, end: 148 }]],
  );
  assert.match((await tincan(['search', 'swan', '--limit', '1'])).stderr, /^More: .*--cursor r7\n$/);
  const soon = await tincan(['search', 'soon']);
  assert.match(soon.stderr, /^1200 messages not looked through yet: .*\nNothing found\.\n$/);
  assert.equal((await tincan(['search', 'swan', '--limit', '201'])).code, 2);
  const { stdout } = await runCli(['chat', '--data-dir', daemon.dataDir], {
    input: '/search a swan\n/search nowhere\n/search\n',
  });
  assert.match(stdout, /\| a swan\n.*nothing found\n! usage: \/search WORDS\n/);
});

void test('inbox --follow survives restarts of the daemon, misses nothing and prints nothing twice', async (t) => {
  const daemon = await daemonFor(t);
  daemon.receive('ben', 'before');
  const cli = spawnCli(t, ['inbox', '--follow', '--unread', '--json', '--data-dir', daemon.dataDir]);
  await cli.printed(/before/);
  daemon.receive('ben', 'live');
  await cli.printed(/live/);
  await daemon.stop();
  daemon.receive('ben', 'while away');
  await daemon.start();
  await cli.printed(/while away/);
  daemon.receive('mallory', 'after');
  await cli.printed(/after/);
  cli.child.kill('SIGINT');
  assert.equal(await cli.exited, 0);
  assert.deepEqual(
    cli.stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text),
    ['before', 'live', 'while away', 'after'],
  );
});

void test('config says where each value comes from', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-config-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'config.toml'), 'name = "ada"\nunlisted = true\n');
  const { stdout } = await runCli(
    [
      'config',
      '--data-dir',
      folder,
      '--json',
      '--no-unlisted',
      '--listen',
      '/ip4/127.0.0.1/tcp/1',
      '--listen',
      '/ip4/127.0.0.1/tcp/2',
    ],
    { env: { TINCAN_HTTP: '127.0.0.1:99' } },
  );
  const { settings } = JSON.parse(stdout) as { settings: Record<string, { value: unknown; source: string }> };
  assert.deepEqual(
    ['name', 'unlisted', 'http', 'dht', 'listen'].map((key) => [settings[key]!.value, settings[key]!.source]),
    [
      ['ada', 'file'],
      [false, 'flag'],
      ['127.0.0.1:99', 'environment'],
      ['auto', 'default'],
      [['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'], 'flag'],
    ],
  );
  assert.match((await runCli(['config', 'bootstrap'])).stdout, /^mailbox_blobs {2,}1000$/m);
});

void test('the echo bot answers what came before and after, once, across a restart of the daemon', async (t) => {
  const daemon = await daemonFor(t);
  daemon.receive('ben', 'one');
  const cli = spawnCli(t, ['echo-bot', '--json', '--data-dir', daemon.dataDir]);
  await cli.printed(/"ready":true/);
  daemon.receive('ben', 'two');
  const answered = async (count: number) => {
    while (daemon.messages.filter(({ receivedAt }) => receivedAt === null).length < count) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await answered(2);
  while (daemon.marked.length < 2) await new Promise((resolve) => setImmediate(resolve));
  await daemon.stop();
  daemon.receive('ben', 'three');
  await daemon.start();
  await answered(3);
  cli.child.kill('SIGTERM');
  assert.equal(await cli.exited, 0);
  assert.deepEqual(
    daemon.messages.filter(({ receivedAt }) => receivedAt === null).map(({ text }) => text),
    ['one', 'two', 'three'],
  );
});

void test('lock and unlock wait until it is so', async (t) => {
  const daemon = await daemonFor(t);
  const tincan = at(daemon);
  assert.deepEqual(
    [(await tincan(['lock'])).stdout, (await tincan(['id'])).stderr],
    ['Locked. Nobody reaches you until: tincan unlock\n', 'tincan: the daemon is locked\nunlock it\n'],
  );
  const env = { TINCAN_HOME: daemon.dataDir };
  const nobody = await runCli(['unlock'], { env });
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /a passphrase is needed/);
  const wrong = await runCli(['unlock'], { env: { ...env, TINCAN_PASSPHRASE: 'no' } });
  assert.deepEqual([wrong.code, wrong.stderr], [1, 'tincan: the passphrase is wrong\n']);
  const right = await runCli(['unlock', '--json'], { env: { ...env, TINCAN_PASSPHRASE: PASSPHRASE } });
  assert.deepEqual([right.code, right.stdout], [0, '{"locked":false}\n']);
  assert.equal((await tincan(['id'])).code, 0);
});
