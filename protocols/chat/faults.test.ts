import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidMessageError } from '@libp2p/interface';
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
  messageFrames,
  UNKNOWN,
} from './chat-fixture.ts';
import { Refusal_Reason } from './chat_pb.ts';
import { CHAT_LIMITS, encodeAck, encodeRefusal } from './protocol.ts';

const GARBAGE = Uint8Array.of(0x0a, 0xff, 0xff);

for (const [name, frames, expected] of [
  ['a message before the hello', [...messageFrames(1, 1), hello(ALICE)], /first frame must be a hello/],
  ['an unknown frame before the hello', [UNKNOWN, hello(ALICE)], /first frame must be a hello/],
  ['garbage instead of a hello', [GARBAGE], /not a chat frame/],
  ['garbage after the hello', [hello(ALICE), ...messageFrames(1, 1), GARBAGE], /not a chat frame/],
  [
    'an oversize frame',
    [hello(ALICE), new Uint8Array(CHAT_LIMITS.maxFrameBytes + 1)],
    /over the limit of 98304/,
  ],
  [
    'a counter of 0',
    [hello(ALICE), encodeRefusal(CHAIN, 0, Refusal_Reason.CONFLICT)],
    /a counter must be between/,
  ],
] as const) {
  void test(`the acceptor resets the stream for ${name}`, async (t) => {
    const ends = await line(t);
    const bob = fakeNode(BOB);
    const serving = ends.serve(bob.decisions);
    ends.send(ends.out, ...frames).catch(() => undefined);
    await assert.rejects(serving, { name: 'InvalidMessageError', message: expected });
    assert.equal(await closed(ends.out), 'reset');
    assert.deepEqual(bob.texts, []);
  });

  void test(`the opener resets the stream for ${name}`, async (t) => {
    const ends = await line(t);
    const alice = fakeNode(ALICE);
    ends.send(ends.inbound, ...frames).catch(() => undefined);
    const failed = await ends.open(alice.decisions).then(
      (chat) => chat.closed.catch((error: Error) => error),
      (error: Error) => error,
    );
    assert.equal((failed as Error).name, 'InvalidMessageError');
    assert.equal(await closed(ends.inbound), 'reset');
  });
}

void test('messages against the direction of the stream reset it', async (t) => {
  const ends = await line(t);
  const alice = fakeNode(ALICE);
  await ends.send(ends.inbound, hello(BOB));
  const chat = await ends.open(alice.decisions);
  await ends.send(ends.inbound, ...messageFrames(1, 1));
  await assert.rejects(chat.closed, {
    name: 'InvalidMessageError',
    message: 'messages go on a stream of their own direction',
  });
  assert.equal(await closed(ends.inbound), 'reset');
});

void test('an ack for what was never sent resets the stream, either way', async (t) => {
  const never = {
    acked: () => Promise.reject(new InvalidMessageError('an ack for messages that were never sent')),
  };
  const expected = { name: 'InvalidMessageError', message: 'an ack for messages that were never sent' };
  const toOpener = await chatting(t, {}, never);
  toOpener.chat.write(encodeFrames(messageFrames(1, 1)));
  await assert.rejects(toOpener.chat.closed, expected);
  await assert.rejects(toOpener.serving, { name: 'StreamResetError' });

  const toAcceptor = await chatting(t, never);
  toAcceptor.chat.write(encodeFrames([encodeAck(CHAIN, [{ first: 1, last: 1 }])]));
  await assert.rejects(toAcceptor.serving, expected);
  await assert.rejects(toAcceptor.chat.closed, { name: 'StreamResetError' });

  const withHello = await line(t);
  void withHello.serve(
    fakeNode(BOB, { held: async () => [encodeAck(CHAIN, [{ first: 1, last: 1 }])] }).decisions,
  );
  await assert.rejects(withHello.open(fakeNode(ALICE, never).decisions), expected);
});

void test('an opener that says nothing is dropped', async (t) => {
  const { out, serve } = await line(t);
  await assert.rejects(serve(fakeNode(BOB).decisions, 10), {
    name: 'TimeoutError',
    message: 'no hello came in time',
  });
  assert.equal(await closed(out), 'reset');
});

void test('an acceptor that says nothing is given up', async (t) => {
  const { inbound, open } = await line(t);
  await assert.rejects(open(fakeNode(ALICE).decisions, 10), { name: 'TimeoutError' });
  assert.equal(await closed(inbound), 'reset');
});

void test('an acceptor that closes without a hello is given up', async (t) => {
  const { inbound, open } = await line(t);
  await inbound.close();
  await assert.rejects(open(fakeNode(ALICE).decisions), {
    name: 'InvalidMessageError',
    message: 'the stream was closed without a hello',
  });
});

void test('a node that can not say who it is leaves no stream behind', async (t) => {
  const silent = {
    hello: () => {
      throw new Error('no card');
    },
  };
  const opening = await line(t);
  await assert.rejects(opening.open(fakeNode(ALICE, silent).decisions), { message: 'no card' });
  assert.equal(await closed(opening.inbound), 'reset');

  const accepting = await line(t);
  const serving = accepting.serve(fakeNode(BOB, silent).decisions);
  await assert.rejects(accepting.open(fakeNode(ALICE).decisions), { name: 'StreamResetError' });
  await assert.rejects(serving, { message: 'no card' });
});

void test('a frame cut off by the end of the stream is an error, what came before it is kept', async (t) => {
  const ends = await line(t);
  const bob = fakeNode(BOB);
  const serving = ends.serve(bob.decisions);
  await ends.send(ends.out, hello(ALICE), ...messageFrames(1, 1));
  await eventually(() => bob.texts.length === 1);
  ends.out.send(encodeFrames(messageFrames(2, 2)).subarray(0, 20));
  await ends.out.close();
  await assert.rejects(serving, { name: 'InvalidMessageError', message: /ended in the middle of a frame/ });
  assert.deepEqual(bob.texts, ['message 1']);
});

void test('what the acceptor can not commit is not acknowledged, and ends the stream', async (t) => {
  const { alice, chat, serving } = await chatting(t, {
    receive: () => Promise.reject(new Error('disk full')),
  });
  chat.write(encodeFrames(messageFrames(1, 1)));
  await assert.rejects(serving, { message: 'disk full' });
  await assert.rejects(chat.closed, { name: 'StreamResetError' });
  assert.equal(alice.told.length, 1);
});
