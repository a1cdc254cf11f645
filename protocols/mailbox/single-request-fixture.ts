import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Connection, PeerId, Stream } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { streamPair } from '@libp2p/utils';
import { sendFrames } from '../framing/streams.ts';
import { mailboxHandler } from './handler.ts';

/** The parts of a mailbox that answer requests of one stream each. */
type Answering = Pick<Parameters<typeof mailboxHandler>[1], 'prekeys' | 'depositors'>;

export const peer = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));

/** A mailbox over in-memory streams, asked by one peer; it takes and hands out nothing. */
export function answeringMailbox(t: TestContext, client: PeerId, answering: Answering) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const streams: Stream[] = [];
  const serve = mailboxHandler(
    { deposit: () => assert.fail('not asked for'), collect: () => assert.fail('not asked for') },
    { signal: stop.signal, streamTimeoutMs: 50, ...answering },
  );
  const openStream = async (): Promise<Stream> => {
    const [outbound, inbound] = await streamPair();
    streams.push(inbound);
    void serve(inbound, { remotePeer: client } as Connection);
    return outbound;
  };
  return { openStream, streams, signal: stop.signal };
}

/** Streams to a mailbox that sends a client some frames whatever it asks. */
export function lyingStreams(t: TestContext, frames: Uint8Array[]) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const { signal } = stop;
  const openStream = async (): Promise<Stream> => {
    const [outbound, inbound] = await streamPair();
    void sendFrames(inbound, frames, { signal })
      .then(() => inbound.close())
      .catch(() => undefined);
    return outbound;
  };
  return { openStream, signal };
}

export const closed = (stream: Stream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.status !== 'open') resolve();
    else stream.addEventListener('close', () => resolve(), { once: true });
  });
