import { randomBytes } from 'node:crypto';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { collect } from '../../protocols/mailbox/collect.ts';
import { depositor } from '../../protocols/mailbox/client.ts';
import type { Depositor } from '../../protocols/mailbox/client.ts';
import { MAILBOX_PROTOCOL } from '../../protocols/mailbox/protocol.ts';
import { serveBench } from './bench-process.ts';

/* Many peers in one process: each a libp2p node of its own with a connection of its own. */

const KEEP_MS = 3600_000;

/** Deposits handed over at a time. */
const WAVE = 4096;

async function lightPeer() {
  const privateKey = await generateKeyPair('Ed25519');
  return createLibp2p({
    privateKey,
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
  });
}

type LightPeer = Awaited<ReturnType<typeof lightPeer>>;

const peers: LightPeer[] = [];
let target = '';
const stopping = new AbortController();

/** One depositing stream a peer, kept open: a mailbox takes few of them. */
const depositors = new Map<LightPeer, Depositor>();

const openStream = (peer: LightPeer) => (options: { signal: AbortSignal }) =>
  peer.dialProtocol(multiaddr(target), MAILBOX_PROTOCOL, options);

serveBench({
  /** Starts `count` peers and connects each to `to`. */
  async connect({ to, count }: { to: string; count: number }) {
    target = to;
    for (let made = 0; made < count; made++) {
      const peer = await lightPeer();
      await peer.dial(multiaddr(to));
      peers.push(peer);
    }
    return peers.map(({ peerId }) => peerId.toString());
  },

  /** Each peer leaves `each` blobs, spread over the recipients; seconds until all are answered. */
  async deposit({ recipients, each, blobBytes }: { recipients: string[]; each: number; blobBytes: number }) {
    const to: PeerId[] = recipients.map((recipient) => peerIdFromString(recipient));
    for (const peer of peers) {
      if (depositors.has(peer)) continue;
      depositors.set(peer, depositor({ openStream: openStream(peer), signal: stopping.signal }));
    }
    const work = peers.map((peer) => ({
      mailbox: depositors.get(peer)!,
      requests: Array.from({ length: each }, (_, index) => ({
        recipient: to[index % to.length]!,
        blob: randomBytes(blobBytes),
        expiresMs: Date.now() + KEEP_MS,
      })),
    }));
    const start = performance.now();
    await Promise.all(
      work.map(async ({ mailbox, requests }) => {
        // Two waves on their way at a time: a depositor takes 16,384 at once.
        let before: Promise<unknown> = Promise.resolve();
        for (let from = 0; from < requests.length; from += WAVE) {
          const wave = mailbox.depositAll(requests.slice(from, from + WAVE)).then((outcomes) => {
            for (const outcome of outcomes) if (outcome instanceof Error) throw outcome;
          });
          await before;
          before = wave;
        }
        await before;
      }),
    );
    return (performance.now() - start) / 1000;
  },

  /** Each peer collects until it has `each` blobs; seconds until all have. */
  async drain({ each }: { each: number }) {
    const start = performance.now();
    await Promise.all(
      peers.map(async (peer) => {
        const done = new AbortController();
        let left = each;
        await collect({
          openStream: openStream(peer),
          async onBlobs(blobs) {
            left -= blobs.length;
            if (left <= 0) setImmediate(() => done.abort());
          },
          signal: done.signal,
        }).catch((error: unknown) => {
          if (!done.signal.aborted) throw error;
        });
      }),
    );
    return (performance.now() - start) / 1000;
  },

  /** Peer ids that nobody has the keys of any more. */
  async strangers({ count }: { count: number }) {
    const ids: string[] = [];
    for (let made = 0; made < count; made++) {
      ids.push(peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString());
    }
    return ids;
  },
});
