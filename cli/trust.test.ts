import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { ControlOperations, OperationResult } from '../protocols/control/contract.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { runCli, spawnCli } from './cli-process.ts';
import { fakeDaemon } from './fake-daemon.ts';

const [KNOWN, CLAIMED] = ['12D3KooWben', '12D3KooWnew'];

const CHANGE: OperationResult<'keyChange'> = {
  name: 'ben',
  known: KNOWN,
  claimed: CLAIMED,
  phonebook: '12D3KooWbook',
  seenAt: '2026-11-20T09:05:00.000Z',
  knownVerified: true,
  knownSafetyNumber: '11111 '.repeat(12).trim(),
  claimedSafetyNumber: '22222 '.repeat(12).trim(),
};

async function daemonFor(t: TestContext, overrides: Partial<ControlOperations> = {}) {
  const daemon = await fakeDaemon(overrides);
  t.after(() => daemon.remove());
  const tincan = (args: string[], input?: string) =>
    runCli([...args, '--data-dir', daemon.dataDir], input === undefined ? {} : { input });
  return { daemon, tincan };
}

void test('verify: the number in three lines, the code, and the mark', async (t) => {
  const { tincan } = await daemonFor(t);
  const { stdout } = await tincan(['verify', 'ben']);
  assert.match(
    stdout,
    /^ben {2}12D3KooWben {2}not verified\n\n( {2}(\d{5} ){3}\d{5}\n){3}\ntincan-verify:1\//,
  );
  assert.match((await tincan(['verify', 'ben', '--confirm'])).stdout, /^ben is verified: 12D3KooWben/);
  assert.match((await tincan(['whois', 'ben'])).stdout, /^key {2,}verified$/m);
  assert.equal(
    (JSON.parse((await tincan(['verify', 'ben', '--json'])).stdout) as { verified: boolean }).verified,
    true,
  );
  assert.match((await tincan(['verify', 'ben', '--revoke'])).stdout, /not verified any more/);
  assert.equal((await tincan(['verify', 'ben', '--revoke', '--confirm'])).code, 2);
  assert.equal((await tincan(['verify', 'nobody'])).code, 4);
});

void test('verify --code: a match, a mismatch, and no mark without a match', async (t) => {
  const marked: boolean[] = [];
  const results = new Map([
    ['good', 'match'],
    ['bad', 'mismatch'],
    ['mine', 'own'],
  ] as const);
  const { tincan } = await daemonFor(t, {
    compareCode: ({ code }) => ({
      result: results.get(code as 'good') ?? 'mismatch',
      detail: 'said\u001b so',
    }),
    verify: ({ verified }) => {
      marked.push(verified);
      throw new ControlError('conflict', 'not this time');
    },
  });
  const good = await tincan(['verify', 'ben', '--code', 'good']);
  assert.deepEqual([good.code, good.stdout], [0, 'Match: said\\x1b so\n']);
  for (const [code, said] of [
    ['bad', /^MISMATCH: said/],
    ['mine', /^Nothing to compare: said/],
  ] as const) {
    const answer = await tincan(['verify', 'ben', '--code', code, '--confirm']);
    assert.equal(answer.code, 1);
    assert.match(answer.stderr, said);
  }
  assert.deepEqual(marked, []);
  assert.equal((await tincan(['verify', 'ben', '--code', 'good', '--confirm'])).code, 1);
  assert.deepEqual(marked, [true]);
});

void test('trust: both keys are shown; a script has to say which', async (t) => {
  const decided: unknown[] = [];
  const peer = (peerId: string) => ({
    peerId,
    name: 'ben',
    petname: null,
    online: false,
    lastSeenAt: null,
    connected: null,
    verified: false,
  });
  const { tincan } = await daemonFor(t, {
    keyChange: () => CHANGE,
    decideKeyChange: ({ who, decision, claimed }) => {
      decided.push([who, decision, claimed]);
      return peer(decision === 'keep' ? KNOWN : CLAIMED);
    },
  });
  const shown = await tincan(['trust', 'ben']);
  assert.equal(shown.code, 1);
  assert.match(shown.stdout, /known {2}12D3KooWben, verified\n( +11111 11111 11111 11111\n){3}/);
  assert.match(shown.stdout, /new {4}12D3KooWnew\n( +22222 22222 22222 22222\n){3}/);
  assert.match(shown.stderr, /Nothing is decided/);
  assert.equal((await tincan(['trust', 'ben', '--keep', '--accept'])).code, 2);
  assert.deepEqual(decided, []);
  assert.equal((await tincan(['trust', 'ben', '--keep'])).stdout, 'ben stays 12D3KooWben\n');
  assert.equal((await tincan(['trust', 'ben', '--accept'])).stdout, 'ben is 12D3KooWnew now, not verified\n');
  assert.deepEqual(decided, [
    ['ben', 'keep', CLAIMED],
    ['ben', 'accept', CLAIMED],
  ]);
});

void test('chat: what is typed to a name in question is not sent', async (t) => {
  const { knownVerified: _, knownSafetyNumber: __, claimedSafetyNumber: ___, ...keyChange } = CHANGE;
  const { daemon, tincan } = await daemonFor(t, {
    whois: () => ({
      peerId: KNOWN,
      name: 'ben',
      petname: null,
      online: true,
      lastSeenAt: null,
      connected: null,
      verified: true,
      multiaddrs: [],
      mailboxes: [],
      certificate: null,
      source: 'contact',
      waiting: false,
      warning: 'the key behind the name ben has changed',
      keyChange,
      blocked: true,
    }),
  });
  const { code, stdout } = await tincan(['chat', 'ben'], 'secret\n');
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^! the key behind the name ben has changed\n-- ben, 12D3KooWben, CHANGED: tincan trust ben --\n/,
  );
  assert.match(stdout, /! not sent: whose key stands behind ben is in question/);
  assert.deepEqual(daemon.messages, []);
});

void test('chat: a key that is put in question meanwhile stops what is typed; one that was verified shows', async (t) => {
  const { knownVerified: _, knownSafetyNumber: __, claimedSafetyNumber: ___, ...keyChange } = CHANGE;
  let blocked = false;
  const { daemon } = await daemonFor(t, {
    verification: () => ({
      peerId: KNOWN,
      name: 'ben',
      petname: null,
      verified: true,
      verifiedAt: null,
      safetyNumber: '',
      code: '',
      keyChange: blocked ? keyChange : null,
      blocked,
    }),
  });
  const cli = spawnCli(t, ['chat', 'ben', '--data-dir', daemon.dataDir]);
  await cli.printed(/-- ben, 12D3KooWben, not verified --/);
  daemon.changeContact(KNOWN);
  await cli.printed(/-- ben, 12D3KooWben, verified --/);
  blocked = true;
  daemon.changeContact(KNOWN);
  await cli.printed(/-- ben, 12D3KooWben, CHANGED: tincan trust ben --/);
  cli.child.stdin.end('secret\n');
  assert.equal(await cli.exited, 1);
  assert.deepEqual(daemon.messages, []);
});
