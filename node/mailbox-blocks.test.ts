import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { MAX_CAPABILITY_LIFETIME_MS } from '../protocols/mailbox/capability.ts';
import { MailboxError } from '../protocols/mailbox/errors.ts';
import { fakeClock, quiet, silentLog } from './delivery/delivery-fixture.ts';
import { mailboxBlocks } from './mailbox-blocks.ts';
import type { ToldMailbox } from './mailbox-blocks.ts';

const peer = async (): Promise<string> => peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString();
const [pest, bore] = await Promise.all([peer(), peer()]);
const WEEK_MS = 7 * 24 * 3_600_000;
const mailboxKey = await generateKeyPair('Ed25519');

/** A mailbox, and what the user has decided. */
function world(t: TestContext) {
  const stop = new AbortController();
  t.after(() => stop.abort(new Error('the test is over')));
  const clock = fakeClock();
  const heard: string[] = [];
  const held = new Set<string>();
  const state = {
    blocked: new Map<string, number>(),
    isConnected: true,
    answer: (): void => undefined,
  };
  const tell = mailboxBlocks({
    acquaintances: {
      blocksFor: () => ({
        block: Array.from(state.blocked, ([name, sinceMs]) => ({ peer: name, sinceMs })),
        unblock: [...held].filter((name) => !state.blocked.has(name)),
      }),
      async toldMailbox(_, peers, holds) {
        for (const name of peers)
          if (holds) held.add(name);
          else held.delete(name);
      },
    },
    log: silentLog,
    sleep: clock.sleep,
    signal: stop.signal,
  });
  const nameOf = (text: string): string => (text === pest ? 'pest' : 'bore');
  const mailbox: ToldMailbox = {
    peerId: peerIdFromPrivateKey(mailboxKey),
    isConnected: () => state.isConnected,
    depositors: {
      async block(peers, { atMs }) {
        state.answer();
        heard.push(`block ${peers.map((each) => nameOf(each.toString())).join(' ')} at ${atMs}`);
        return { blocked: peers.length };
      },
      async unblock(peers) {
        state.answer();
        heard.push(`unblock ${peers.map((each) => nameOf(each.toString())).join(' ')}`);
        return { blocked: 0 };
      },
    },
  };
  return { clock, heard, held, state, tell: () => tell(mailbox) };
}

void test('a mailbox is told of blocks each time, and that one is over until it has taken that', async (t) => {
  const { clock, heard, held, state, tell } = world(t);
  tell();
  await quiet();
  assert.deepEqual(heard, []);
  state.blocked.set(bore, 7).set(pest, 5);
  tell();
  tell();
  await quiet();
  assert.deepEqual(heard.splice(0), ['block pest bore at 7', 'block pest bore at 7']);
  state.blocked.clear();
  state.answer = () => {
    throw new Error('the mailbox is busy');
  };
  tell();
  await quiet();
  assert.equal(held.size, 2);
  state.answer = () => undefined;
  await clock.pass(60_000);
  assert.deepEqual(heard.splice(0), ['unblock pest bore']);
  assert.equal(held.size, 0);
  tell();
  await quiet();
  assert.deepEqual(heard, []);
});

void test('a mailbox that has gone is told when it is back, one that blocks nobody is left alone', async (t) => {
  const { clock, heard, state, tell } = world(t);
  state.blocked.set(pest, 5);
  state.answer = () => {
    throw new Error('the connection is lost');
  };
  tell();
  await quiet();
  state.isConnected = false;
  state.answer = () => undefined;
  await clock.pass(60_000);
  assert.deepEqual(heard, []);
  state.isConnected = true;
  tell();
  await quiet();
  assert.deepEqual(heard.splice(0), ['block pest at 5']);
  state.answer = () => {
    throw new MailboxError('the mailbox blocks nobody', 'unsupported');
  };
  tell();
  await quiet();
  assert.deepEqual(clock.waiting(), []);
});

void test('a mailbox that stays is told again each week, and one timer runs for it', async (t) => {
  const { clock, heard, state, tell } = world(t);
  const told = 'block pest at 5';
  state.blocked.set(pest, 5);
  tell();
  await quiet();
  tell();
  await quiet();
  assert.deepEqual(heard.splice(0), [told, told]);
  assert.deepEqual(clock.waiting(), [WEEK_MS]);
  // Longer than a mailbox remembers without being told.
  let sinceMs = 0;
  for (let week = 1; week * WEEK_MS < MAX_CAPABILITY_LIFETIME_MS + 2 * WEEK_MS; week++) {
    await clock.pass(WEEK_MS);
    sinceMs = heard.splice(0).includes(told) ? 0 : sinceMs + WEEK_MS;
    assert.ok(sinceMs < MAX_CAPABILITY_LIFETIME_MS / 2);
  }
  // One that is busy at that moment is asked again at once.
  state.answer = () => {
    throw new Error('the mailbox is busy');
  };
  await clock.pass(WEEK_MS);
  state.answer = () => undefined;
  await clock.pass(60_000);
  assert.deepEqual(heard.splice(0), [told]);
  state.blocked.clear();
  await clock.pass(WEEK_MS);
  assert.deepEqual(heard.splice(0), ['unblock pest']);
  assert.deepEqual(clock.waiting(), []);
});

void test('a mailbox that has gone is not told by the week, but when it is back', async (t) => {
  const { clock, heard, state, tell } = world(t);
  state.blocked.set(pest, 5);
  tell();
  await quiet();
  heard.splice(0);
  state.isConnected = false;
  await clock.pass(WEEK_MS);
  assert.deepEqual(heard, []);
  assert.deepEqual(clock.waiting(), []);
  state.isConnected = true;
  tell();
  await quiet();
  assert.deepEqual(heard, ['block pest at 5']);
});
