import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Stream } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import { request, serveRequests } from './request-response.ts';
import { readFrames, sendFrames } from './streams.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytes = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

/** A client's end of a stream whose other end `answer` serves. */
async function served(t: TestContext, answer: (frame: Uint8Array) => Uint8Array | Promise<Uint8Array>) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const options = { maxFrameBytes: 1000, signal: stop.signal };
  const [out, inbound] = await streamPair();
  const serving = serveRequests(inbound, answer, options);
  return { out, inbound, serving, options, stop };
}

const closed = (stream: Stream): Promise<string> =>
  new Promise((resolve) => {
    if (stream.status !== 'open') resolve(stream.status);
    else stream.addEventListener('close', () => resolve(stream.status), { once: true });
  });

void test('one request, one answer, and both ends are closed', async (t) => {
  const { out, inbound, serving, options } = await served(t, (frame) => bytes(`re: ${text(frame)}`));
  assert.equal(text(await request(out, bytes('a'), options)), 're: a');
  await serving;
  assert.equal(await closed(out), 'closed');
  assert.equal(await closed(inbound), 'closed');
});

void test('pipelined requests are decided together and answered in order', async (t) => {
  const pending: (() => void)[] = [];
  const { out, serving, options } = await served(t, async (frame) => {
    await new Promise<void>((resolve) => {
      pending.push(resolve);
      // The last to be asked is the first to be done.
      if (pending.length === 100) for (const done of pending.toReversed()) done();
    });
    return frame;
  });
  const requests = Array.from({ length: 100 }, (_, i) => bytes(String(i)));
  await sendFrames(out, requests, options);
  await out.close();
  const answers: Uint8Array[] = [];
  for await (const batch of readFrames(out, options)) answers.push(...batch);
  assert.deepEqual(answers, requests);
  await serving;
});

void test('what can not be answered aborts the stream', async (t) => {
  const { out, serving, options } = await served(t, () => {
    throw new Error('not a request');
  });
  await assert.rejects(request(out, bytes('a'), options), { name: 'StreamResetError' });
  await serving;
  assert.equal(out.status, 'reset');
});

void test('garbage and oversize frames abort the stream, unanswered', async (t) => {
  for (const garbage of [new Uint8Array(10).fill(0xff), Uint8Array.of(0xe9, 0x07), Uint8Array.of(9, 1)]) {
    let asked = 0;
    const { out, serving } = await served(t, (frame) => {
      asked++;
      return frame;
    });
    out.send(garbage);
    await out.close();
    await serving;
    assert.equal(await closed(out), 'reset');
    assert.equal(asked, 0);
  }
});

void test('an answer that does not come is an error', async (t) => {
  const [out, inbound] = await streamPair();
  t.after(() => out.abort(new Error('over')));
  const stop = new AbortController();
  const options = { maxFrameBytes: 1000, signal: stop.signal };
  await inbound.close();
  await assert.rejects(request(out, bytes('a'), options), { message: /closed without an answer/ });
  assert.equal(await closed(inbound), 'reset');

  const [silent] = await streamPair();
  const asking = request(silent, bytes('a'), options);
  stop.abort(new Error('too late'));
  await assert.rejects(asking, { message: 'too late' });
  assert.equal(silent.status, 'aborted');
});

void test('an answer over the limit is an error', async (t) => {
  const { out, options } = await served(t, () => new Uint8Array(1001));
  await assert.rejects(request(out, bytes('a'), options), { name: 'InvalidMessageError' });
});

void test('serving ends with its signal', async (t) => {
  const { out, serving, stop } = await served(t, (frame) => frame);
  stop.abort(new Error('stopping'));
  await serving;
  assert.equal(await closed(out), 'reset');
});
