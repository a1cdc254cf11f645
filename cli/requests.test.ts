import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { ControlOperations, OperationResult } from '../protocols/control/contract.ts';
import { runCli, spawnCli } from './cli-process.ts';
import { fakeDaemon } from './fake-daemon.ts';
import type { FakeDaemon } from './fake-daemon.ts';

const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

const BEN: OperationResult<'whois'> = {
  peerId: '12D3KooWben',
  name: 'ben',
  petname: null,
  online: true,
  lastSeenAt: null,
  connected: null,
  verified: false,
  multiaddrs: [],
  mailboxes: [],
  certificate: null,
  source: 'phonebook',
  waiting: false,
  warning: null,
  keyChange: null,
  blocked: false,
};

async function open(
  t: TestContext,
  overrides: Partial<ControlOperations> = {},
): Promise<{
  daemon: FakeDaemon;
  tincan: (args: string[], input?: string) => ReturnType<typeof runCli>;
}> {
  const daemon = await fakeDaemon(overrides);
  t.after(() => daemon.remove());
  return {
    daemon,
    tincan: (args, input = '') => runCli(args, { input, env: { TINCAN_HOME: daemon.dataDir } }),
  };
}

void test('requests are shown with what they say, and cannot move the cursor', async (t) => {
  const { daemon, tincan } = await open(t);
  assert.match((await tincan(['requests'])).stderr, /Nobody unknown/);
  daemon.ask('mallory', 'hello\u001b[2J there');
  const { stdout } = await tincan(['requests']);
  assert.match(stdout, /^mal\\x1b\[2Jlory {2}/);
  assert.match(stdout, /12D3KooWmallory\n {2}safety number 11111 11112/);
  assert.match(stdout, /hello\\x1b\[2J there\n$/);
  const { requests } = JSON.parse((await tincan(['requests', '--json'])).stdout) as { requests: unknown[] };
  assert.equal(requests.length, 1);
  assert.match((await tincan(['status'])).stdout, /1 stranger would like to write: tincan requests/);
});

void test('accept, decline and block say what they did', async (t) => {
  const { daemon, tincan } = await open(t);
  daemon.ask('ben', 'hello');
  assert.equal((await tincan(['accept', 'ben', '--as', 'Benny'])).stdout, 'Benny is a friend: 12D3KooWben\n');
  assert.equal((await tincan(['accept', 'ben'])).code, 4);
  daemon.ask('ben', 'hello again');
  assert.match((await tincan(['decline', 'ben'])).stdout, /^Forgotten\. 12D3KooWben is not told/);
  assert.match((await tincan(['block', 'ben'])).stdout, /^ben is blocked: nothing of theirs is taken/);
  assert.match((await tincan(['blocked'])).stdout, /^ben {2}since .* {2}12D3KooWben\n$/);
  assert.equal((await tincan(['unblock', 'ben'])).stdout, 'ben is not blocked any more.\n');
  assert.equal((await tincan(['unblock', 'ben'])).code, 4);
  assert.match((await tincan(['blocked'])).stderr, /Nobody is blocked/);
});

void test('invites are made, listed and taken back', async (t) => {
  const { tincan } = await open(t);
  assert.equal(
    (await tincan(['invite', '--reusable', '--days', '7'])).stdout,
    'tincan:12D3KooWSelfSelfSelf?n=ada\n',
  );
  const made = JSON.parse((await tincan(['invite', '--reusable', '--json'])).stdout) as Record<
    string,
    unknown
  >;
  assert.deepEqual([made['id'], made['reusable']], [7, true]);
  assert.equal((await tincan(['invite', '--days', '367'])).code, 2);
  assert.match(
    (await tincan(['invites'])).stdout,
    /^7 {2}made .* good until .* for several, used 2 times\n$/,
  );
  assert.match((await tincan(['invite', 'revoke', '7'])).stdout, /^Invite 7 is void/);
  assert.equal((await tincan(['invite', 'revoke', '8'])).code, 4);
});

void test('in the chat, a request is announced, shown and decided', async (t) => {
  const { daemon, tincan } = await open(t);
  daemon.ask('ben', 'may I?');
  const { code, stdout } = await tincan(
    ['chat'],
    '/requests\n/accept ben\n/requests\n/block mallory\n/decline ben\n',
  );
  assert.match(stdout, /^ben {2}12D3KooWben: may I\?$/m);
  assert.match(stdout, /^-- ben is a friend: \/connect ben --$/m);
  assert.match(stdout, /^nobody unknown has asked to write to you$/m);
  assert.match(
    stdout,
    /^-- mal\\x1b\[2Jlory is blocked; to take it back: tincan unblock mal\\x1b\[2Jlory --$/m,
  );
  assert.match(stdout, /^! ben has not asked/m);
  assert.equal(code, 1);
});

void test('who has to accept the user first is said by whois, by send and in the chat', async (t) => {
  const { daemon, tincan } = await open(t, {
    send: () => ({ id: ID, state: 'queued', to: BEN.peerId, failure: 'it waits for ben\u001b' }),
    whois: () => ({ ...BEN, waiting: true }),
  });
  assert.match((await tincan(['whois', 'ben'])).stdout, /^waiting {2,}has not accepted you yet/m);
  const sent = await tincan(['send', 'ben', 'hello']);
  assert.equal(sent.code, 0);
  assert.match(sent.stdout, /^queued here {2}[-0-9a-f]{36}\n$/);
  assert.equal(sent.stderr, 'tincan: it waits for ben\\x1b\n');
  const chat = spawnCli(t, ['chat', 'ben', '--data-dir', daemon.dataDir]);
  await chat.printed(/^-- ben has not accepted you yet: your messages wait here --$/m);
  assert.doesNotMatch(chat.stdout, /who does not know you/);
  daemon.changeContact('12D3KooWmallory', false);
  daemon.changeContact(BEN.peerId, false);
  await chat.printed(/-- what waited here for ben goes on its way --\n$/);
  daemon.changeContact(BEN.peerId, true);
  await chat.printed(/way --\n-- ben has not accepted you yet: your messages wait here --\n$/);
  chat.child.stdin.end();
  assert.equal(await chat.exited, 0);
  assert.equal(chat.stdout.match(/goes on its way/g)!.length, 1);
});
