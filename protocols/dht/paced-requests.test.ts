import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamHandler } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import { encodeFrames } from '../framing/frames.ts';
import { pacedRegistrar } from './paced-requests.ts';

void test('requests are answered a few a turn, and no more than the limit at once', async (t) => {
  let handler: StreamHandler | undefined;
  const registrar = pacedRegistrar(
    {
      handle: async (_protocol: string, given: StreamHandler) => {
        handler = given;
      },
      getProtocols: () => ['/x'],
    } as never,
    { limits: { burst: 3, perSecond: 20 }, nowMs: () => Date.now() },
  );
  assert.deepEqual(registrar.getProtocols(), ['/x']);
  let answered = 0;
  await registrar.handle('/x', async (stream) => {
    for (let count = 0; count < 4; count++) {
      const drained = new Promise((resolve) => stream.addEventListener('drain', resolve, { once: true }));
      assert.equal(stream.send(Uint8Array.of(1)), false);
      answered++;
      await drained;
    }
  });
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const [stream] = await streamPair();
  const done = handler!(stream, { remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1') } as never);
  const turns = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  assert.equal(answered, 1);
  await turns(10);
  assert.equal(answered, 4);
  // The fourth is over the limit: what follows it waits.
  t.mock.timers.tick(50);
  await done;
});

void test('a stream is not read from while requests of it wait, and does not look closed', async () => {
  let handler: StreamHandler | undefined;
  const registrar = pacedRegistrar({
    handle: async (_protocol: string, given: StreamHandler) => {
      handler = given;
    },
  } as never);
  const seen: string[] = [];
  const answer = Promise.withResolvers<void>();
  await registrar.handle('/x', async (stream) => {
    stream.addEventListener('message', () => seen.push(stream.readStatus));
    await answer.promise;
    for (let count = 0; count < 2; count++) {
      const drained = new Promise((resolve) => stream.addEventListener('drain', resolve, { once: true }));
      stream.send(Uint8Array.of(1));
      await drained;
    }
  });
  const [there, here] = await streamPair();
  const done = handler!(here, { remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1') } as never);
  const settled = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };
  there.send(encodeFrames([Uint8Array.of(1), Uint8Array.of(2)]));
  await settled(() => here.readStatus === 'paused');
  assert.deepEqual(seen, ['readable']);
  there.send(encodeFrames([Uint8Array.of(3)]));
  answer.resolve();
  await done;
  await settled(() => seen.length === 2);
  there.abort(new Error('done'));
});

void test('a stream that has more at once when it is resumed is not paused from within that', async () => {
  let handler: StreamHandler | undefined;
  const registrar = pacedRegistrar({
    handle: async (_protocol: string, given: StreamHandler) => {
      handler = given;
    },
  } as never);
  await registrar.handle('/x', () => undefined);
  const [there, here] = await streamPair();
  await handler!(here, { remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1') } as never);
  let resuming = false;
  const [pause, resume] = [here.pause.bind(here), here.resume.bind(here)];
  here.pause = () => {
    assert.ok(!resuming);
    pause();
  };
  here.resume = () => {
    resuming = true;
    resume();
    resuming = false;
  };
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };
  there.send(encodeFrames([Uint8Array.of(1)]));
  await until(() => here.readStatus === 'paused');
  there.send(encodeFrames([Uint8Array.of(2)]));
  await until(() => here.readBufferLength > 0);
  here.send(Uint8Array.of(1));
  await until(() => here.readBufferLength === 0 && here.readStatus === 'paused');
  here.send(Uint8Array.of(2));
  await until(() => here.readStatus === 'readable');
  there.abort(new Error('done'));
});
