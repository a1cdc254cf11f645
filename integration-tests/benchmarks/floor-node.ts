import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import type { Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { DatabaseSync } from 'node:sqlite';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrames, FrameDecoder } from '../../protocols/framing/frames.ts';
import { serveBench } from './bench-process.ts';

/*
 * One end of a bare libp2p stream: TCP, Noise, yamux, and nothing else. As a server it acknowledges frames (one number
 * a chunk) and echoes; as a client it times both.
 */

const ACK = '/bench/ack/1';
const ECHO = '/bench/echo/1';
const MAX_FRAME_BYTES = 1024 * 1024;

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
});

const folder = mkdtempSync(join(tmpdir(), 'tincan-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const database = new DatabaseSync(join(folder, 'floor.db'));
database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
database.exec('CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)');
const insert = database.prepare('INSERT INTO rows (body) VALUES (?)');

await node.handle(ACK, (stream: Stream) => {
  const decoder = new FrameDecoder(MAX_FRAME_BYTES);
  stream.addEventListener('message', ({ data }) => {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(decoder.push(data.subarray()).length);
    stream.send(count);
  });
});

await node.handle(ECHO, (stream: Stream) => {
  const decoder = new FrameDecoder(MAX_FRAME_BYTES);
  stream.addEventListener('message', ({ data }) => {
    for (const frame of decoder.push(data.subarray())) {
      insert.run(frame);
      stream.send(encodeFrames([frame]));
    }
  });
});

serveBench({
  address: () => node.getMultiaddrs()[0]!.toString(),

  /** Frames acknowledged a second with a window of `inFlight`; what an acknowledgement frees goes out in one write. */
  async acked({
    to,
    frames,
    inFlight,
    frameBytes,
  }: {
    to: string;
    frames: number;
    inFlight: number;
    frameBytes: number;
  }) {
    const stream = await node.dialProtocol(multiaddr(to), ACK);
    const frame = new Uint8Array(frameBytes);
    const done = Promise.withResolvers<void>();
    let sent = 0;
    let acked = 0;
    const send = (count: number): void => {
      const now = Math.min(count, frames - sent);
      sent += now;
      if (now > 0) stream.send(encodeFrames(Array.from({ length: now }, () => frame)));
    };
    let rest = Buffer.alloc(0);
    stream.addEventListener('message', ({ data }) => {
      rest = Buffer.concat([rest, data.subarray()]);
      let freed = 0;
      for (; rest.length >= 4; rest = rest.subarray(4)) freed += rest.readUInt32BE();
      acked += freed;
      send(freed);
      if (acked === frames) done.resolve();
    });
    const start = performance.now();
    send(inFlight);
    await done.promise;
    const seconds = (performance.now() - start) / 1000;
    await stream.close();
    return frames / seconds;
  },

  /** Milliseconds of each round trip: one row committed here, sent, one row committed there, echoed. */
  async echo({ to, times, frameBytes }: { to: string; times: number; frameBytes: number }) {
    const stream = await node.dialProtocol(multiaddr(to), ECHO);
    const frame = new Uint8Array(frameBytes);
    const trips: number[] = [];
    let arrived = (): void => undefined;
    stream.addEventListener('message', () => arrived());
    for (let turn = 0; turn < times; turn++) {
      const start = performance.now();
      const echoed = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      insert.run(frame);
      stream.send(encodeFrames([frame]));
      await echoed;
      trips.push(performance.now() - start);
    }
    await stream.close();
    return trips;
  },
});
