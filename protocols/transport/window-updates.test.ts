import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Stream, StreamMessageEvent } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { libp2pBase } from './base.ts';
import { DAEMON_LIMITS } from './limits.ts';

const ECHO = '/test/echo';
const SINK = '/test/sink';

/** Many windows of 256 KiB. */
const BULK_BYTES = 8 * 1024 * 1024;

async function startNode(t: TestContext) {
  const node = await createLibp2p(
    libp2pBase({
      privateKey: await generateKeyPair('Ed25519'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      limits: DAEMON_LIMITS,
      onListenError: () => undefined,
    }),
  );
  t.after(() => node.stop());
  return node;
}

/** Sends all of it, waiting when the stream is full, and resolves when as much has come back. */
async function echoed(stream: Stream, bytes: number): Promise<void> {
  const back = Promise.withResolvers<void>();
  let received = 0;
  stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
    received += data.byteLength;
    if (received === bytes) back.resolve();
  });
  stream.addEventListener('close', ({ error }) => back.reject(error ?? new Error('closed early')));
  const chunk = new Uint8Array(64 * 1024);
  for (let sent = 0; sent < bytes; sent += chunk.byteLength) {
    if (!stream.send(chunk)) await once(stream as unknown as EventTarget, 'drain');
  }
  await back.promise;
}

/** A node in a process of its own, with yamux as its package has it. */
async function startStockNode(t: TestContext): Promise<string> {
  const program = `
    import { generateKeyPair } from '@libp2p/crypto/keys';
    import { createLibp2p } from 'libp2p';
    import { libp2pBase } from './protocols/transport/base.ts';
    import { DAEMON_LIMITS } from './protocols/transport/limits.ts';
    const node = await createLibp2p(libp2pBase({
      privateKey: await generateKeyPair('Ed25519'), listen: ['/ip4/127.0.0.1/tcp/0'], announce: [],
      limits: DAEMON_LIMITS, onListenError: () => undefined,
    }));
    await node.handle('${ECHO}', async (stream) => { for await (const data of stream) stream.send(data); });
    console.log(node.getMultiaddrs()[0].toString());
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    cwd: new URL('../..', import.meta.url),
    env: { ...process.env, TINCAN_STOCK_MUXER: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [address] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return address;
}

test('small messages are not answered with a window update each', async (t) => {
  const receiver = await startNode(t);
  const sender = await startNode(t);
  const arrived = Promise.withResolvers<void>();
  const wanted = 200;
  await receiver.handle(SINK, (stream: Stream) => {
    let received = 0;
    stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
      received += data.byteLength;
      if (received === wanted * 100) arrived.resolve();
    });
  });
  let back = 0;
  const port = Number(/tcp\/(\d+)/.exec(receiver.getMultiaddrs()[0]!.toString())![1]);
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far).on('error', () => near.destroy());
    far.on('data', (data: Buffer) => {
      back += data.byteLength;
    });
    far.pipe(near).on('error', () => far.destroy());
  }).listen(0, '127.0.0.1');
  t.after(() => proxy.close());
  await once(proxy, 'listening');
  const address = multiaddr(
    `/ip4/127.0.0.1/tcp/${(proxy.address() as AddressInfo).port}/p2p/${receiver.peerId.toString()}`,
  );
  const stream = await sender.dialProtocol(address, SINK);
  const before = back;
  for (let sent = 0; sent < wanted; sent++) {
    stream.send(new Uint8Array(100));
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
  await arrived.promise;
  // A window update is a Noise message of 30 bytes; stock yamux sends about one a message.
  assert.ok(back - before < (wanted * 30) / 4, `${back - before} bytes came back for ${wanted} messages`);
});

test('many windows of data go through both ways, also with a peer whose yamux is stock', async (t) => {
  const here = await startNode(t);
  const economised = await startNode(t);
  await economised.handle(ECHO, async (stream: Stream) => {
    for await (const data of stream) stream.send(data);
  });
  for (const address of [economised.getMultiaddrs()[0]!.toString(), await startStockNode(t)]) {
    await echoed(await here.dialProtocol(multiaddr(address), ECHO), BULK_BYTES);
  }
});
