import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { decodeMessage } from '../../protocols/chat/message.ts';
import { decodeFrame } from '../../protocols/chat/protocol.ts';
import { MailboxError } from '../../protocols/mailbox/errors.ts';
import { testStore } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import { fakeClock, quiet, silentLog } from './delivery-fixture.ts';
import type { FakeClock } from './delivery-fixture.ts';
import { mailSender } from './mail-sender.ts';
import type { MailSender } from './mail-sender.ts';

const BOB = 'bob';

let store: TestStore;
let clock: FakeClock;
let stop: AbortController;
let mail: MailSender;
let isLive: boolean;
let mayAnswer: boolean;
/** When something was to be left in the mailbox, and what of it was: the messages' counters. */
let triedAtMs: number[];
let deposited: number[][];
let mailbox: () => Promise<void>;

beforeEach(() => {
  store = testStore();
  clock = fakeClock(0);
  stop = new AbortController();
  isLive = false;
  mayAnswer = false;
  triedAtMs = [];
  deposited = [];
  mailbox = () => Promise.resolve();
  mail = mailSender({
    peer: BOB,
    store: store.client,
    ways: {
      async deposit(_, frames) {
        triedAtMs.push(clock.nowMs);
        await mailbox();
        deposited.push(
          frames.map((frame) => {
            const { body } = decodeFrame(frame);
            return body.case === 'message' ? decodeMessage(body.value).counter : 0;
          }),
        );
      },
    },
    owed: async () => ({ frames: [], hasLost: false, urgent: false, paid: async () => undefined }),
    log: silentLog,
    now: () => clock.nowMs,
    random: () => 0,
    sleep: clock.sleep,
    signal: stop.signal,
    isLive: () => isLive,
    mayAnswer: () => mayAnswer,
    onStored: () => undefined,
  });
});
afterEach(async () => {
  stop.abort(new Error('stopped'));
  await quiet();
  store.close();
});

const write = async (): Promise<void> => {
  store.operations['messages.send']({ items: [{ peer: BOB, text: 'hi' }], nowMs: clock.nowMs });
  void mail.deposit();
  await quiet();
};
const states = (): string[] =>
  store.operations['history.page']({ peer: BOB, limit: 100 }).map(({ state }) => state);
const full = (): Promise<never> => Promise.reject(new MailboxError('the mailbox is full', 'full'));

test('what is written right after a deposit is left there at once', async () => {
  await write();
  await write();
  assert.deepEqual(deposited, [[1], [2]]);
  assert.deepEqual(clock.waiting(), []);
});

test('a mailbox that refuses is left alone for seconds, then minutes, whatever is written meanwhile', async () => {
  mailbox = full;
  await write();
  while (triedAtMs.length < 9) {
    await clock.pass(100);
    if (clock.nowMs < 1_000) await write();
    assert.equal(mail.trouble, 'the mailbox is full');
    assert.equal(mail.busy, true);
  }
  // With chance at its least, half of 2, 4, 8 s and so on to 2 min.
  assert.deepEqual(
    triedAtMs.slice(1).map((atMs, index) => (atMs - triedAtMs[index]!) / 1_000),
    [1, 2, 4, 8, 16, 32, 60, 60],
  );
  assert.ok(states().every((state) => state === 'queued'));
  mailbox = () => Promise.resolve();
  await clock.pass(60_000);
  assert.deepEqual(deposited, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]);
  assert.equal(mail.trouble, undefined);
  assert.equal(mail.busy, false);
});

test('a mailbox that takes something and then refuses has not refused for long', async () => {
  mailbox = full;
  await write();
  for (let refusal = 1; refusal < 6; refusal++) await clock.pass(120_000);
  let left = 1;
  mailbox = () => (left-- > 0 ? Promise.resolve() : full());
  await clock.pass(60_000);
  assert.deepEqual(deposited, [[1]]);
  await write();
  assert.deepEqual(clock.waiting(), [1_000]);
});

test('it is left alone for as long as it asks, and no longer than ten minutes', async () => {
  for (const [error, restMs] of [
    [new MailboxError('slow down', 'rate-limited', { retryAfterMs: 45_000 }), 45_000],
    [
      new Error('slow down', {
        cause: new MailboxError('slow down', 'rate-limited', { retryAfterMs: 50_000 }),
      }),
      50_000,
    ],
    [new MailboxError('slow down', 'rate-limited', { retryAfterMs: 0xffff_ffff }), 600_000],
    [new MailboxError('slow down', 'rate-limited', { retryAfterMs: 10 }), 1_000],
    [new Error('no mailbox of theirs is known'), 1_000],
  ] as const) {
    mailbox = () => Promise.reject(error);
    await write();
    assert.deepEqual(clock.waiting(), [restMs]);
    mailbox = () => Promise.resolve();
    await clock.pass(restMs);
    assert.equal(mail.busy, false);
  }
});

test('once refusals are forgotten the next deposit goes at once, and waits begin anew', async () => {
  mailbox = full;
  await write();
  for (let refusal = 1; refusal < 6; refusal++) await clock.pass(120_000);
  mail.forgetRefusals();
  await write();
  assert.deepEqual(clock.waiting(), [1_000]);
  mail.forgetRefusals();
  mailbox = () => Promise.resolve();
  void mail.deposit();
  await quiet();
  assert.deepEqual(deposited, [[1, 2]]);
});

test('whoever may answer a dial, or has, is left nothing at the end of a rest', async () => {
  mailbox = full;
  await write();
  mayAnswer = true;
  mailbox = () => Promise.resolve();
  await clock.pass(10_000);
  assert.deepEqual([deposited, mail.busy], [[], false]);
  mailbox = full;
  await write();
  mayAnswer = false;
  isLive = true;
  mailbox = () => Promise.resolve();
  await clock.pass(10_000);
  assert.deepEqual([deposited, mail.busy], [[], false]);
  isLive = false;
  void mail.deposit();
  await quiet();
  assert.deepEqual(deposited, [[1, 2]]);
});

test('stopping ends a rest', async () => {
  mailbox = full;
  await write();
  stop.abort(new Error('stopped'));
  await quiet();
  assert.deepEqual([clock.waiting(), mail.busy], [[], false]);
});
