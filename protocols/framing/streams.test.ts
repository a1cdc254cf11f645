import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Stream } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import { BatchQueue } from './batch-queue.ts';
import { encodeFrames } from './frames.ts';
import { encodedSink, frameSink, readFrames, sendFrames } from './streams.ts';
import type { ReadFramesOptions } from './streams.ts';

const frame = (length: number, value = length): Uint8Array => new Uint8Array(length).fill(value);

const eventually = async (condition: () => boolean): Promise<void> => {
  const giveUpMs = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < giveUpMs, `never: ${condition.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
};

/** Two ends of a stream, and what `readFrames` makes of the second. */
async function pair(t: TestContext, options: Partial<ReadFramesOptions> = {}) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const [out, inbound] = await streamPair();
  const batches = readFrames(inbound, { maxFrameBytes: 300_000, signal: stop.signal, ...options });
  return { out, inbound, batches, stop, signal: stop.signal };
}

async function readAll(batches: AsyncIterable<Uint8Array[]>): Promise<Uint8Array[][]> {
  const all: Uint8Array[][] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

void test('frames of one write are one batch, and the end between frames is the end', async (t) => {
  const { out, batches, signal } = await pair(t);
  await sendFrames(out, [frame(1), frame(2), frame(0)], { signal });
  await out.close();
  assert.deepEqual(await readAll(batches), [[frame(1), frame(2), frame(0)]]);
});

void test('what arrives while the consumer is busy is one batch', async (t) => {
  const { out, inbound, batches, signal } = await pair(t);
  let arrived = 0;
  await sendFrames(out, [frame(1)], { signal });
  assert.deepEqual((await batches.next()).value, [frame(1)]);
  inbound.addEventListener('message', ({ data }) => (arrived += data.byteLength));
  for (let i = 2; i < 5; i++) await sendFrames(out, [frame(i)], { signal });
  await eventually(() => arrived === 12);
  assert.deepEqual((await batches.next()).value, [frame(2), frame(3), frame(4)]);
});

void test('large frames arrive whole, in pieces of the stream', async (t) => {
  const { out, batches, signal } = await pair(t);
  const frames = [frame(300_000, 1), frame(70_000, 2), frame(10, 3)];
  const sent = sendFrames(out, frames, { signal }).then(() => out.close());
  assert.deepEqual((await readAll(batches)).flat(), frames);
  await sent;
});

void test('what came before the reader, the end included, is read', async (t) => {
  const { out, inbound, batches, signal } = await pair(t);
  await sendFrames(out, [frame(200_000, 1), frame(200_000, 2)], { signal });
  await out.close();
  await inbound.close();
  await eventually(() => inbound.status === 'closed');
  assert.ok(inbound.readBufferLength > 400_000);
  assert.deepEqual((await readAll(batches)).flat(), [frame(200_000, 1), frame(200_000, 2)]);
  assert.deepEqual(await readAll(readFrames(inbound, { maxFrameBytes: 1, signal })), []);
});

void test('a last chunk over the read-ahead is read to its end', async (t) => {
  const { out, inbound, batches, signal } = await pair(t);
  const frames = Array.from({ length: 4000 }, () => frame(100));
  const sent = sendFrames(out, frames, { signal }).then(() => out.close());
  await eventually(() => inbound.readBufferLength === 404_000 && inbound.remoteWriteStatus === 'closed');
  const read = await readAll(batches);
  assert.deepEqual(read.flat(), frames);
  assert.ok(read.length > 2);
  await sent;
});

void test('a batch of tiny frames is bounded by what they cost in memory', async (t) => {
  const { out, inbound, batches } = await pair(t);
  out.send(new Uint8Array(100_000));
  await out.close();
  await eventually(() => inbound.readBufferLength === 100_000);
  const read = await readAll(batches);
  assert.equal(read.flat().length, 100_000);
  for (const batch of read) assert.ok(batch.length <= 32 * 1024);
});

void test('a consumer that does not read pauses the stream, and takes it up again', async (t) => {
  const { out, inbound, batches, signal } = await pair(t);
  await sendFrames(out, [frame(1)], { signal });
  await batches.next();
  const sent = sendFrames(out, [frame(200_000)], { signal });
  await eventually(() => inbound.readStatus === 'paused');
  await sent;
  assert.deepEqual((await batches.next()).value, [frame(200_000)]);
  const next = batches.next();
  await sendFrames(out, [frame(5)], { signal });
  assert.deepEqual((await next).value, [frame(5)]);
  assert.equal(inbound.readStatus, 'readable');
});

void test('the end in the middle of a frame is an error', async (t) => {
  for (const bytes of [Uint8Array.of(0x80), Uint8Array.of(5, 1, 2)]) {
    const { out, batches } = await pair(t);
    out.send(bytes);
    await out.close();
    await assert.rejects(readAll(batches), {
      name: 'InvalidMessageError',
      message: 'the stream ended in the middle of a frame',
    });
  }
});

void test('a frame over the limit is an error, and nothing after it is read', async (t) => {
  const { out, batches, signal } = await pair(t, { maxFrameBytes: 10 });
  await sendFrames(out, [frame(10)], { signal });
  assert.deepEqual((await batches.next()).value, [frame(10)]);
  await sendFrames(out, [frame(11), frame(1)], { signal });
  await assert.rejects(batches.next(), { name: 'InvalidMessageError', message: /over the limit of 10/ });
  assert.deepEqual(await batches.next(), { value: undefined, done: true });
});

void test('a reset ends the reading, after what came before it', async (t) => {
  const { out, inbound, batches, signal } = await pair(t);
  const first = batches.next();
  await sendFrames(out, [frame(1)], { signal });
  await first;
  await sendFrames(out, [frame(2)], { signal });
  out.abort(new Error('gone'));
  await eventually(() => inbound.status === 'reset');
  assert.deepEqual((await batches.next()).value, [frame(2)]);
  await assert.rejects(batches.next(), { name: 'StreamResetError' });
  await assert.rejects(readAll(readFrames(inbound, { maxFrameBytes: 1, signal })), {
    name: 'StreamResetError',
  });
});

void test('aborting the stream here is an error of its own', async (t) => {
  const { inbound, batches } = await pair(t);
  const next = batches.next();
  inbound.abort(new Error('enough'));
  await assert.rejects(next, { message: 'enough' });
});

void test('the signal ends the reading with its reason, whatever waits', async (t) => {
  const { out, inbound, batches, stop, signal } = await pair(t);
  const first = batches.next();
  await sendFrames(out, [frame(1)], { signal });
  await first;
  let arrived = false;
  inbound.addEventListener('message', () => (arrived = true));
  await sendFrames(out, [frame(2)], { signal });
  await eventually(() => arrived);
  stop.abort(new Error('stopping'));
  await assert.rejects(batches.next(), { message: 'stopping' });
  await assert.rejects(readAll(readFrames(inbound, { maxFrameBytes: 1, signal })), { message: 'stopping' });
});

void test('the signal wakes a waiting reader', async (t) => {
  const { batches, stop } = await pair(t);
  const next = batches.next();
  stop.abort(new Error('stopping'));
  await assert.rejects(next, { message: 'stopping' });
});

void test('a frame that stays unfinished is given up, however its bytes trickle', async (t) => {
  // The timeout itself keeps no process alive.
  const alive = setInterval(() => undefined, 1000);
  t.after(() => clearInterval(alive));
  const { out, batches } = await pair(t, { frameTimeoutMs: 50 });
  out.send(encodeFrames([frame(100)]).subarray(0, 2));
  const trickle = setInterval(() => out.send(Uint8Array.of(1)), 10);
  await assert.rejects(batches.next(), { name: 'TimeoutError' });
  clearInterval(trickle);
});

void test('time in which the consumer was busy is not the frame’s', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { out, inbound, batches, signal } = await pair(t, { frameTimeoutMs: 60_000 });
  const bytes = encodeFrames([frame(1), frame(10)]);
  const arrivals: number[] = [];
  inbound.addEventListener('message', ({ data }) => arrivals.push(data.byteLength));
  const arrived = async (count: number): Promise<void> => {
    while (arrivals.length < count) {
      t.mock.timers.tick(5);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const first = batches.next();
  out.send(bytes.subarray(0, 6));
  await arrived(1);
  assert.deepEqual((await first).value, [frame(1)]);
  t.mock.timers.tick(90_000);
  out.send(bytes.subarray(6));
  await arrived(2);
  t.mock.timers.tick(90_000);
  assert.deepEqual((await batches.next()).value, [frame(10)]);
  // The next frame has its whole time.
  const next = batches.next();
  out.send(bytes.subarray(2, 6));
  await arrived(3);
  await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(55_000);
  out.send(bytes.subarray(6));
  await arrived(4);
  assert.deepEqual((await next).value, [frame(10)]);
  signal.throwIfAborted();
});

/** The sizes of what a stream is given to send. */
function sends(stream: Stream): number[] {
  const sizes: number[] = [];
  const send = stream.send.bind(stream);
  stream.send = (data) => {
    sizes.push(data.byteLength);
    return send(data);
  };
  return sizes;
}

void test('frames are joined into writes of up to 64 KiB', async (t) => {
  const { out, batches, signal } = await pair(t);
  const sizes = sends(out);
  const frames = [...Array.from({ length: 3000 }, () => frame(100)), frame(200_000), frame(0)];
  const read = readAll(batches);
  await sendFrames(out, frames, { signal });
  await sendFrames(out, [], { signal });
  await out.close();
  assert.deepEqual((await read).flat(), frames);
  assert.ok(sizes.every((size) => size <= 64 * 1024));
  assert.ok(sizes.length <= 10);
});

void test('tiny frames count with their prefix', async (t) => {
  const { out, batches, signal } = await pair(t);
  const sizes = sends(out);
  const read = readAll(batches);
  await sendFrames(
    out,
    Array.from({ length: 70_000 }, () => frame(1)),
    { signal },
  );
  await out.close();
  assert.equal((await read).flat().length, 70_000);
  assert.ok(sizes.every((size) => size <= 64 * 1024));
});

void test('sinks write each batch, encoded or not, and wait for room', async (t) => {
  for (const sink of ['frames', 'encoded'] as const) {
    const [out, inbound] = await streamPair({ capacity: 1 });
    const stop = new AbortController();
    t.after(() => stop.abort());
    const { signal } = stop;
    const sizes = sends(out);
    const queue = new BatchQueue<Uint8Array>();
    const frames = [frame(1), frame(2), frame(100_000)];
    for (const one of frames) queue.push(sink === 'frames' ? one : encodeFrames([one]));
    queue.end();
    const written = (sink === 'frames' ? frameSink : encodedSink)(out, { signal })(queue);
    const read = readAll(readFrames(inbound, { maxFrameBytes: 300_000, signal }));
    await written;
    assert.equal(out.writableNeedsDrain, false);
    await out.close();
    assert.deepEqual((await read).flat(), frames);
    assert.ok(sizes.length <= 3 && sizes.every((size) => size <= 64 * 1024));
  }
});

/** A stream that has taken a write and is full until it says `drain`. */
async function full(t: TestContext) {
  const { out, inbound, stop, signal } = await pair(t);
  let takes = 0;
  out.send = () => {
    takes++;
    out.writableNeedsDrain = true;
    return false;
  };
  const drain = (full: boolean): void => {
    out.dispatchEvent(new Event('drain'));
    out.writableNeedsDrain = full;
  };
  return { out, inbound, stop, signal, drain, takes: () => takes };
}

void test('a full stream is waited for until it has room', async (t) => {
  const { out, signal, drain, takes } = await full(t);
  let done = false;
  const sent = sendFrames(out, [frame(100_000)], { signal }).then(() => (done = true));
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  // A drain that made room for part of what waits in the stream.
  drain(true);
  await turn();
  assert.equal(takes(), 1);
  drain(false);
  await turn();
  assert.equal(takes(), 2);
  assert.equal(done, false);
  drain(false);
  await sent;
});

void test('waiting for room ends when the stream or the signal does', async (t) => {
  const reset = await full(t);
  const sending = sendFrames(reset.out, [frame(1)], reset);
  reset.inbound.abort(new Error('gone'));
  await assert.rejects(sending, { name: 'StreamResetError' });

  const aborted = await full(t);
  const stopped = sendFrames(aborted.out, [frame(1)], aborted);
  aborted.stop.abort(new Error('stopping'));
  await assert.rejects(stopped, { message: 'stopping' });
  await assert.rejects(sendFrames(aborted.out, [frame(1)], aborted), { message: 'stopping' });
});

void test('sending on a stream that is closed is an error', async (t) => {
  const { out, inbound, signal } = await pair(t);
  await out.close();
  await assert.rejects(sendFrames(out, [frame(1)], { signal }), { name: 'StreamStateError' });
  out.abort(new Error('gone'));
  await eventually(() => inbound.status === 'reset');
  await assert.rejects(sendFrames(inbound, [frame(1)], { signal }), { name: 'StreamStateError' });
});
