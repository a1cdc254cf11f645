import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { identify } from '@libp2p/identify';
import type { Stream } from '@libp2p/interface';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

/** Somebody with a libp2p node and nothing of ours, who sends what they like. */
export interface Stranger extends AsyncDisposable {
  peerId: string;
  open(address: string, protocol: string): Promise<Stream>;
}

export async function stranger({ signal }: { signal: AbortSignal }): Promise<Stranger> {
  const node = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
  });
  return {
    peerId: node.peerId.toString(),
    open: (address, protocol) =>
      node.dialProtocol(multiaddr(address), protocol, { signal, runOnLimitedConnection: true }),
    async [Symbol.asyncDispose]() {
      await node.stop();
    },
  };
}

/** What the other side did about a stream: it answered, or it ended it. Settles with the first of these. */
export function reaction(stream: Stream): Promise<'answered' | 'ended'> {
  return new Promise((resolve) => {
    stream.addEventListener('message', () => resolve('answered'), { once: true });
    stream.addEventListener('remoteCloseWrite', () => resolve('ended'), { once: true });
    stream.addEventListener('close', () => resolve('ended'), { once: true });
  });
}
