import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Stream } from '@libp2p/interface';
import { createLibp2p } from 'libp2p';
import { libp2pBase } from '../transport/base.ts';
import { DAEMON_LIMITS, STREAM_LIMITS } from '../transport/limits.ts';
import { readFrames, sendFrames } from './streams.ts';

const PROTOCOL = '/frames';
const OPTIONS = { maxFrameBytes: 100_000 };

async function node(t: TestContext, listen: string[]) {
  const libp2p = await createLibp2p(
    libp2pBase({
      privateKey: await generateKeyPair('Ed25519'),
      listen,
      announce: [],
      limits: DAEMON_LIMITS,
      onListenError: ({ message }) => assert.fail(message),
    }),
  );
  t.after(() => libp2p.stop());
  return libp2p;
}

/** Both ends of a stream over TCP, Noise and yamux on loopback. */
async function tcpPair(t: TestContext) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const listener = await node(t, ['/ip4/127.0.0.1/tcp/0']);
  const dialler = await node(t, []);
  const accepted = Promise.withResolvers<Stream>();
  await listener.handle(PROTOCOL, (stream) => accepted.resolve(stream));
  const connection = await dialler.dial(listener.getMultiaddrs());
  const out = await connection.newStream(PROTOCOL);
  return { out, inbound: await accepted.promise, connection, signal: stop.signal };
}

/** Sends 16 MiB of frames, counting those the stack has taken. */
function flood(out: Stream, signal: AbortSignal) {
  const state = { sentBytes: 0, mostBuffered: 0, done: Promise.resolve() };
  const frames = Array.from({ length: 64 }, (_, i) => new Uint8Array(1000).fill(i));
  const run = async (): Promise<void> => {
    while (state.sentBytes < 16 * 1024 * 1024) {
      await sendFrames(out, frames, { signal });
      state.sentBytes += 64_000;
      state.mostBuffered = Math.max(state.mostBuffered, out.writeBufferLength);
    }
    await out.close({ signal });
  };
  state.done = run();
  return state;
}

/** Resolves when a value has stayed the same for a while. */
async function settled(value: () => number): Promise<number> {
  for (let last = value(), same = 0; ; last = value()) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    same = value() === last ? same + 1 : 0;
    if (same === 10 && last > 0) return last;
  }
}

void test('over TCP a consumer that does not read stops the sender, in bounded memory', async (t) => {
  const { out, inbound, signal } = await tcpPair(t);
  const batches = readFrames(inbound, { ...OPTIONS, signal });
  const first = batches.next();
  const sending = flood(out, signal);
  let read = (await first).value!.length;
  const stalledAt = await settled(() => sending.sentBytes);
  assert.ok(stalledAt < 4 * 1024 * 1024, `${stalledAt} bytes were sent to a reader that does not read`);
  assert.ok(inbound.readBufferLength <= STREAM_LIMITS.maxReadBufferBytes);
  for await (const batch of batches) {
    for (const frame of batch) assert.equal(frame[999], read++ % 64);
    assert.ok(batch.length <= 300);
  }
  await sending.done;
  assert.equal(read * 1000, sending.sentBytes);
  assert.ok(sending.mostBuffered <= 64 * 1024, `${sending.mostBuffered} bytes waited in the stream`);
});

void test('a consumer that stops again after each batch stops the sender each time', async (t) => {
  const { out, inbound, signal } = await tcpPair(t);
  const sending = flood(out, signal);
  let read = 0;
  let mostUnread = 0;
  for await (const batch of readFrames(inbound, { ...OPTIONS, signal })) {
    read += batch.length;
    // Time for the sender to send whatever it may.
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
    mostUnread = Math.max(mostUnread, inbound.readBufferLength);
  }
  await sending.done;
  assert.equal(read * 1000, sending.sentBytes);
  assert.ok(mostUnread <= STREAM_LIMITS.maxWindowBytes, `${mostUnread} bytes waited, more than a window`);
});

void test('what a slow consumer has not read when the connection closes is not mistaken for all', async (t) => {
  const { out, inbound, connection, signal } = await tcpPair(t);
  const batches = readFrames(inbound, { ...OPTIONS, signal });
  const first = batches.next();
  const sending = flood(out, signal);
  sending.done.catch(() => undefined);
  let read = (await first).value!.length;
  await settled(() => sending.sentBytes);
  const closed = new Promise((resolve) => inbound.addEventListener('close', resolve));
  connection.abort(new Error('cable cut'));
  await closed;
  await assert.rejects(async () => {
    for await (const batch of batches) read += batch.length;
  });
  assert.ok(read * 1000 < sending.sentBytes);
  await assert.rejects(sending.done);
});
