import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Connection, Stream, StreamMuxerFactory } from '@libp2p/interface';
import { peerIdFromPublicKey } from '@libp2p/peer-id';
import { defaultLogger } from '@libp2p/logger';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { guardedMuxer, holding } from './muxer-guard.ts';
import { libp2pBase } from './base.ts';
import { keepConnectionRoom } from './connection-room.ts';
import { DAEMON_LIMITS, GUARD_LIMITS } from './limits.ts';
import type { TransportLimits } from './limits.ts';

async function node(t: TestContext, limits: Partial<TransportLimits> = {}) {
  const made = await createLibp2p(
    libp2pBase({
      privateKey: await generateKeyPair('Ed25519'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      limits: { ...DAEMON_LIMITS, pingIntervalMs: null, ...limits },
      onListenError: (error) => assert.fail(error.message),
    }),
  );
  t.after(() => made.stop());
  return made;
}

interface Insides {
  muxer: { ping(): Promise<number>; sendPing(id: number, flag: number): void };
}

void test('a peer that sends pings without end is cut, one that keeps to the limit is not', async (t) => {
  const [here, there] = await Promise.all([node(t), node(t)]);
  const address = here.getMultiaddrs()[0]!;
  const connection = await there.dial(address);
  const { muxer } = connection as unknown as Insides;
  const closed = new Promise((resolve) => connection.addEventListener('close', resolve, { once: true }));
  for (let count = 0; count < GUARD_LIMITS.pings.burst / 2; count++) await muxer.ping();
  assert.equal(connection.status, 'open');
  for (let id = 100; id < 100 + 2 * GUARD_LIMITS.pings.burst; id++) muxer.sendPing(id, 1);
  await closed;
});

void test('a peer that opens streams without end is cut', () => {
  const opened: number[] = [];
  const muxer = {
    onData: () => undefined,
    incomingStream: (id: number) => void opened.push(id),
    sendPing: () => undefined,
  };
  const reading = () => ({
    readBuffer: { byteLength: 0, sublist: () => new Uint8Array() },
    dispatchReadBuffer: () => undefined,
    sendResume: () => undefined,
  });
  const carrier = Object.assign(new EventTarget(), {
    ...reading(),
    stream: { ...reading(), remoteAddr: multiaddr('/ip4/192.0.2.1/tcp/1') },
    writeBufferLength: 0,
  });
  const factory = { protocol: '/yamux', createStreamMuxer: () => muxer };
  guardedMuxer(() => factory as unknown as StreamMuxerFactory)({ logger: defaultLogger() }).createStreamMuxer(
    carrier as never,
  );
  assert.throws(
    () => {
      for (let id = 1; id < 2 * GUARD_LIMITS.streams.burst; id++) muxer.incomingStream(id);
    },
    { name: 'FloodError' },
  );
  assert.ok(opened.length >= GUARD_LIMITS.streams.burst);
  carrier.dispatchEvent(new Event('close'));
});

void test('a connection that is paused and resumed in the middle of what it reads loses nothing', async (t) => {
  const [here, there] = await Promise.all([node(t), node(t)]);
  const arrived: number[] = [];
  const whole = Promise.withResolvers<void>();
  let pauses = 0;
  await here.handle('/count', (stream, connection) => {
    const { maConn } = (connection as unknown as { muxer: { maConn: Stream & { stream: Stream } } }).muxer;
    let bytes = 0;
    stream.addEventListener('message', ({ data }) => {
      for (const byte of data.subarray()) if (bytes++ % 1_000 === 0) arrived.push(byte);
      if (bytes === 300_000) whole.resolve();
      if (pauses++ % 3 > 0 || maConn.readStatus !== 'readable') return;
      maConn.pause();
      setImmediate(() => maConn.resume());
      assert.equal(maConn.stream.readStatus, 'paused');
    });
  });
  const connection = await there.dial(here.getMultiaddrs()[0]!);
  const stream = await connection.newStream('/count');
  for (let count = 0; count < 300; count++)
    if (!stream.send(new Uint8Array(1_000).fill(count))) await once(stream, 'drain');
  await whole.promise;
  assert.deepEqual(
    arrived,
    Array.from({ length: 300 }, (_, count) => count % 256),
  );
});

void test('who is held back while its socket ends is let go without harm', async (t) => {
  const [here, there] = await Promise.all([node(t), node(t)]);
  for (const order of ['pause', 'resume'] as const) {
    const arrived = once(here, 'connection:open') as Promise<[CustomEvent<Connection>]>;
    await there.dial(here.getMultiaddrs()[0]!, { force: true });
    const [{ detail: connection }] = await arrived;
    const { maConn } = (connection as unknown as { muxer: { maConn: Stream & { stream: Stream } } }).muxer;
    const held = holding(maConn);
    if (order === 'resume') held.pause();
    // The socket knows that it has ended, and has not said so yet.
    maConn.stream.readStatus = 'closed';
    const closed = once(maConn, 'close');
    held[order]();
    await closed;
  }
});

void test('peers that are made up push each other out, never what a node says of itself', async (t) => {
  const [here, there] = await Promise.all([node(t, { peerStoreBytes: 3_000 }), node(t)]);
  await here.handle('/none', (stream) => stream.abort(new Error('no')));
  for (let count = 0; count < 10; count++) {
    const { publicKey } = await generateKeyPair('Ed25519');
    await here.peerStore.merge(peerIdFromPublicKey(publicKey), { protocols: ['/x'] });
  }
  assert.ok((await here.peerStore.all()).length < 6);
  assert.ok(await here.peerStore.has(here.peerId));
  await there.dial(here.getMultiaddrs()[0]!);
});

void test('somebody new gets in when nearly all places are taken, friends stay', async (t) => {
  const here = await node(t, { maxConnections: 4 });
  const friend = await node(t);
  keepConnectionRoom(here, {
    maxConnections: 4,
    isKept: (peer) => peer.equals(friend.peerId),
    nowMs: Date.now,
  });
  const address = here.getMultiaddrs()[0]!;
  await friend.dial(address);
  for (let count = 0; count < 6; count++) {
    const closes = new Promise((resolve) =>
      here.addEventListener('connection:close', resolve, { once: true }),
    );
    const somebody = await node(t);
    await somebody.dial(address);
    if (count >= 2) await closes;
  }
  assert.ok(here.getConnections().length <= 4);
  assert.equal(here.getConnections(friend.peerId).length, 1);
});
