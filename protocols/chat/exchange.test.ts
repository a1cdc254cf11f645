import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrames } from '../framing/frames.ts';
import {
  ALICE,
  BOB,
  CHAIN,
  chatting,
  closed,
  eventually,
  fakeNode,
  hello,
  line,
  message,
  messageFrames,
  UNKNOWN,
} from './chat-fixture.ts';
import { CHAT_LIMITS, decodeFrame, encodeAck, encodeMessageFrame, encodeReceipt } from './protocol.ts';
import type { Range } from './ranges.ts';

void test('both say hello, once', async (t) => {
  const { alice, bob, chat, serving } = await chatting(t);
  assert.deepEqual(alice.told, [['greeted', BOB, [BOB]]]);
  assert.deepEqual(bob.told, [['greeted', ALICE, [ALICE]]]);
  chat.close();
  await chat.closed;
  await serving;
});

void test('what was received before is acknowledged with the hello', async (t) => {
  const held = [{ first: 1, last: 9 }];
  const { alice } = await chatting(t, { held: async () => [encodeAck(CHAIN, held)] });
  assert.deepEqual(alice.told, [
    ['greeted', BOB, [BOB]],
    ['acked', BOB, CHAIN, held],
  ]);
});

void test('a message is acknowledged once it is committed, not before', async (t) => {
  const commit = Promise.withResolvers<void>();
  const { alice, bob, chat } = await chatting(t, {
    receive: async () => {
      await commit.promise;
      return [encodeAck(CHAIN, [{ first: 1, last: 1 }])];
    },
  });
  chat.write(encodeFrames(messageFrames(1, 1)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(alice.told.length, 1);
  commit.resolve();
  await eventually(() => alice.told.length === 2);
  assert.deepEqual(alice.told[1], ['acked', BOB, CHAIN, [{ first: 1, last: 1 }]]);
  assert.deepEqual(bob.texts, []);
});

void test('messages are pipelined, committed in batches, in order, acknowledged cumulatively', async (t) => {
  const { alice, bob, chat } = await chatting(t);
  const count = 5000;
  for (let i = 1; i <= count; i += 10) chat.write(encodeFrames(messageFrames(i, i + 9)));
  const last = (): unknown => (alice.told.at(-1)![3] as Range[])[0]?.last;
  await eventually(() => alice.told.length > 1 && last() === count);
  assert.deepEqual(
    bob.texts,
    Array.from({ length: count }, (_, i) => `message ${i + 1}`),
  );
  assert.ok(bob.batches.length < 20, `${bob.batches.length} batches`);
  assert.ok(alice.told.length <= bob.batches.length + 1);
});

void test('a replay changes nothing and is acknowledged again', async (t) => {
  const { alice, bob, chat } = await chatting(t);
  for (let i = 1; i <= 3; i++) {
    chat.write(encodeFrames([...messageFrames(1, 3), ...messageFrames(1, 3)]));
    await eventually(() => alice.told.length === i + 1);
  }
  assert.deepEqual(bob.texts, ['message 1', 'message 2', 'message 3']);
  assert.deepEqual(alice.told.at(-1), ['acked', BOB, CHAIN, [{ first: 1, last: 3 }]]);
});

void test('what is refused does not hold up the others', async (t) => {
  const { alice, bob, chat } = await chatting(t);
  const tooLong = encodeMessageFrame(message(2, 'x'.repeat(CHAT_LIMITS.maxTextBytes + 1)));
  chat.write(encodeFrames([...messageFrames(1, 1), tooLong, ...messageFrames(3, 3)]));
  await eventually(() => bob.texts.length === 2);
  await eventually(() => alice.told.length === 3);
  assert.deepEqual(alice.told.slice(1), [
    [
      'acked',
      BOB,
      CHAIN,
      [
        { first: 1, last: 1 },
        { first: 3, last: 3 },
      ],
    ],
    ['refused', BOB, CHAIN, 2, 'too-large'],
  ]);
});

void test('the opener may acknowledge and send receipts too', async (t) => {
  const { bob, chat } = await chatting(t);
  chat.write(encodeFrames([encodeReceipt(CHAIN, 4), encodeAck(CHAIN, [{ first: 1, last: 5 }])]));
  await eventually(() => bob.told.length === 3);
  assert.deepEqual(bob.told.slice(1), [
    ['acked', ALICE, CHAIN, [{ first: 1, last: 5 }]],
    ['receipt', ALICE, CHAIN, 4],
  ]);
});

void test('unknown frames are passed over, by both', async (t) => {
  const ends = await line(t);
  const bob = fakeNode(BOB);
  void ends.serve(bob.decisions);
  await ends.send(ends.out, hello(ALICE), UNKNOWN, ...messageFrames(1, 1), UNKNOWN);
  await eventually(() => bob.texts.length === 1);
  assert.equal(ends.inbound.status, 'open');

  const other = await line(t);
  const alice = fakeNode(ALICE);
  await other.send(other.inbound, hello(BOB), UNKNOWN, encodeReceipt(CHAIN, 1));
  await other.open(alice.decisions);
  assert.deepEqual(alice.told.at(-1), ['receipt', BOB, CHAIN, 1]);
  // A second hello is passed over as well.
  await other.send(other.inbound, hello('again'), encodeReceipt(CHAIN, 2));
  await eventually(() => alice.told.length === 3);
  assert.equal(other.out.status, 'open');
});

void test('the opener closes: what it wrote is taken and acknowledged first', async (t) => {
  const { alice, bob, chat, serving, out, inbound } = await chatting(t);
  chat.write(encodeFrames(messageFrames(1, 2000)));
  chat.close();
  chat.write(encodeFrames(messageFrames(2001, 2001)));
  await Promise.all([chat.closed, serving]);
  assert.equal(bob.texts.length, 2000);
  assert.deepEqual(alice.told.at(-1), ['acked', BOB, CHAIN, [{ first: 1, last: 2000 }]]);
  assert.deepEqual([await closed(out), await closed(inbound)], ['closed', 'closed']);
});

void test('the opener closes with an error', async (t) => {
  const { chat, serving } = await chatting(t);
  chat.close(new Error('not acknowledged in time'));
  await assert.rejects(chat.closed, { message: 'not acknowledged in time' });
  await assert.rejects(serving, { name: 'StreamResetError' });
});

void test('the acceptor closes', async (t) => {
  const ends = await line(t);
  await ends.send(ends.inbound, hello(BOB));
  const chat = await ends.open(fakeNode(ALICE).decisions);
  await ends.inbound.close();
  await chat.closed;
  const frames: Uint8Array[] = [];
  for await (const batch of ends.read(ends.inbound)) frames.push(...batch);
  assert.deepEqual(
    frames.map((frame) => decodeFrame(frame).body.case),
    ['hello'],
  );
});

void test('the signal ends both ends', async (t) => {
  const { stop, chat, serving } = await chatting(t);
  stop.abort(new Error('stopping'));
  await assert.rejects(chat.closed, { message: 'stopping' });
  await assert.rejects(serving);
});
