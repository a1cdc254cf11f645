import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { runCli, spawnCli } from './cli-process.ts';
import { fakeDaemon } from './fake-daemon.ts';

async function daemonFor(t: TestContext) {
  const daemon = await fakeDaemon();
  t.after(() => daemon.remove());
  return daemon;
}

void test('in a pipe: history, then every line is queued before it ends', async (t) => {
  const daemon = await daemonFor(t);
  daemon.receive('ben', 'earlier');
  const input = `one\n\n//two\n/send mallory three\n/verify\n/id\n/list\n/help\n${'more\n'.repeat(300)}`;
  const { code, stdout } = await runCli(['chat', 'ben', '--data-dir', daemon.dataDir], { input });
  assert.equal(code, 0);
  assert.match(stdout, /^-- ben, 12D3KooWben, not verified --\n.*ben {2}earlier\n/);
  assert.match(stdout, /\/connect NAME/);
  assert.match(stdout, /^ada {2}12D3KooWSelf/m);
  assert.match(stdout, /^ben {2}not verified {2}12D3KooWben\n( {2}(\d{5} ?){4}\n){3}/m);
  assert.deepEqual(
    daemon.messages.slice(1, 5).map(({ to, text }) => `${to} ${text}`),
    ['12D3KooWben one', '12D3KooWben /two', '12D3KooWmallory three', '12D3KooWben more'],
  );
  assert.equal(daemon.messages.length, 304);
  assert.deepEqual(daemon.marked, [daemon.messages[0]!.id]);
});

void test('what can not be done is said, and a script gets exit code 1', async (t) => {
  const daemon = await daemonFor(t);
  const { code, stdout } = await runCli(['chat', '--data-dir', daemon.dataDir], {
    input:
      'to nobody\n/connect nobody\n/nonsense\n/send nobody hi\n/whois\n/connect ben\nhi\n/quit\nnot sent\n',
  });
  assert.equal(code, 1);
  assert.match(stdout, /! nobody to talk to yet/);
  assert.match(stdout, /! nobody is called nobody/);
  assert.match(stdout, /! there is no command \/nonsense/);
  assert.match(stdout, /! not sent: hi: nobody is called nobody/);
  assert.match(stdout, /! usage: \/whois NAME/);
  assert.deepEqual(
    daemon.messages.map(({ text }) => text),
    ['hi'],
  );
});

void test('a name nobody has ends the chat with 4', async (t) => {
  const daemon = await daemonFor(t);
  const { code, stderr } = await runCli(['chat', 'nobody', '--data-dir', daemon.dataDir]);
  assert.equal(code, 4);
  assert.match(stderr, /nobody is called nobody/);
});

void test('live: messages, states, gaps and strangers are shown, across a restart of the daemon', async (t) => {
  const daemon = await daemonFor(t);
  const cli = spawnCli(t, ['chat', 'ben', '--data-dir', daemon.dataDir]);
  await cli.printed(/-- ben/);
  cli.child.stdin.write('hello\n');
  while (daemon.messages.length === 0) await new Promise((resolve) => setImmediate(resolve));
  daemon.reach(daemon.messages[0]!.id, 'delivered');
  await cli.printed(/\(delivered\) hello/);
  daemon.receive('ben', 'hi\u001b[2J').missing = 2;
  await cli.printed(/ben {2}hi\\x1b\[2J/);
  daemon.receive('mallory', 'psst');
  await cli.printed(/\* mal\\x1b\[2Jlory: psst/);
  daemon.ask('mallory', 'may I?');
  await cli.printed(/\* mal\\x1b\[2Jlory wants to write to you: \/requests/);

  await daemon.stop();
  await cli.printed(/the daemon is away/);
  cli.child.stdin.write('typed meanwhile\n');
  daemon.receive('ben', 'said meanwhile');
  await daemon.start();
  await cli.printed(/the daemon is back/);
  await cli.printed(/said meanwhile/);
  cli.child.stdin.end('last\n');
  assert.equal(await cli.exited, 0);
  assert.deepEqual(
    daemon.messages.filter(({ receivedAt }) => receivedAt === null).map(({ text }) => text),
    ['hello', 'typed meanwhile', 'last'],
  );
  assert.equal(cli.stdout.match(/said meanwhile/g)?.length, 1);
  assert.ok(!cli.stdout.includes('\u001b'));
});

void test('a signal ends the chat', async (t) => {
  const daemon = await daemonFor(t);
  const cli = spawnCli(t, ['chat', 'ben', '--data-dir', daemon.dataDir]);
  await cli.printed(/-- ben/);
  cli.child.kill('SIGTERM');
  assert.equal(await cli.exited, 0);
});
