import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Connection, Ed25519PrivateKey, Stream } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import type { TCPSocketOptions } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

/** Somebody with a libp2p node and nothing of ours, who sends what they like. */
export interface Stranger extends AsyncDisposable {
  peerId: string;
  privateKey: Ed25519PrivateKey;
  /** A new connection, beside those that are open. */
  dial(address: string): Promise<Connection>;
  open(address: string, protocol: string): Promise<Stream>;
}

export interface StrangerInit {
  signal: AbortSignal;
  /** The IP address to come from: on loopback, any of 127.0.0.0/8. */
  from?: string;
  /** Left out, it answers neither identify nor ping, which makes it cheap to be many. */
  polite?: boolean;
}

export async function stranger({ signal, from, polite = true }: StrangerInit): Promise<Stranger> {
  const privateKey = await generateKeyPair('Ed25519');
  const node = await createLibp2p({
    privateKey,
    // `localAddress` goes on to `net.connect`, though the type does not say so.
    transports: [tcp({ dialOpts: (from === undefined ? {} : { localAddress: from }) as TCPSocketOptions })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { ...(polite && { identify: identify(), ping: ping() }) },
  });
  return {
    peerId: node.peerId.toString(),
    privateKey,
    dial: (address) => node.dial(multiaddr(address), { signal, force: true }),
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

/** Its addresses under its signature, as phonebooks and rendezvous points want them. */
export async function signedRecordOf({ privateKey }: Pick<Stranger, 'privateKey'>): Promise<Uint8Array> {
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(privateKey),
    multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/9')],
  });
  return (await RecordEnvelope.seal(record, privateKey)).marshal();
}
