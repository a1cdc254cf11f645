import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Ed25519PrivateKey, PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { signCapability } from '../../protocols/mailbox/capability.ts';
import { collect } from '../../protocols/mailbox/collect.ts';
import { depositor } from '../../protocols/mailbox/client.ts';
import type { Depositor, DepositRequest } from '../../protocols/mailbox/client.ts';
import { MAILBOX_PROTOCOL } from '../../protocols/mailbox/protocol.ts';
import { serveBench } from './bench-process.ts';

/* Many peers in one process: each a libp2p node of its own with a connection of its own. */

const KEEP_MS = 3600_000;

const DIALS = 20;
const DIAL_AGAIN_MS = 250;

/** Deposits handed over at a time. */
const WAVE = 4096;

async function lightPeer(privateKey: Ed25519PrivateKey) {
  return createLibp2p({
    privateKey,
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
  });
}

/** A node takes so many connections a second from one address; who is turned away tries again. */
async function dialPatiently(peer: LightPeer, to: string): Promise<void> {
  for (let left = DIALS; ; left--) {
    try {
      await peer.dial(multiaddr(to));
      return;
    } catch (error) {
      if (left === 0) throw error;
      await delay(DIAL_AGAIN_MS);
    }
  }
}

type LightPeer = Awaited<ReturnType<typeof lightPeer>>;

const peers: LightPeer[] = [];
/** Of the peers, in their order. */
const keys: Ed25519PrivateKey[] = [];
/** Of the strangers made last. */
let strangerKeys: Ed25519PrivateKey[] = [];
let target = '';
const stopping = new AbortController();

/** One depositing stream a peer, kept open: a mailbox takes few of them. */
const depositors = new Map<LightPeer, Depositor>();

const openStream = (peer: LightPeer) => (options: { signal: AbortSignal }) =>
  peer.dialProtocol(multiaddr(target), MAILBOX_PROTOCOL, options);

interface DepositWork {
  recipients: string[];
  capabilities: Uint8Array[][];
  each: number;
  blobBytes: number;
}

async function depositAll(mailbox: Depositor, requests: readonly DepositRequest[]): Promise<void> {
  for (const outcome of await mailbox.depositAll(requests)) if (outcome instanceof Error) throw outcome;
}

serveBench({
  /** Starts `count` peers and connects each to `to`. */
  async connect({ to, count }: { to: string; count: number }) {
    target = to;
    for (let made = 0; made < count; made++) {
      const privateKey = await generateKeyPair('Ed25519');
      const peer = await lightPeer(privateKey);
      await dialPatiently(peer, to);
      peers.push(peer);
      keys.push(privateKey);
    }
    return peers.map(({ peerId }) => peerId.toString());
  },

  /** What each peer of this process, or each stranger made here, has signed for each of some depositors. */
  async capabilities({ depositors: ids, of }: { depositors: string[]; of: 'peers' | 'strangers' }) {
    const issuedMs = Date.now();
    const depositing = ids.map((id) => peerIdFromString(id));
    const signing = of === 'peers' ? keys : strangerKeys;
    return Promise.all(
      signing.map((key) =>
        Promise.all(
          depositing.map((depositor) =>
            signCapability(key, { depositor, issuedMs, expiresMs: issuedMs + KEEP_MS }),
          ),
        ),
      ),
    );
  },

  /**
   * Each peer leaves `each` blobs, spread over the recipients; answered deposits a second. Capabilities stand by recipient, then
   * by peer. The first blob for each recipient is left before the clock starts: with it, the mailbox looks at a signature.
   */
  async deposit({ recipients, capabilities, each, blobBytes }: DepositWork) {
    const to: PeerId[] = recipients.map((recipient) => peerIdFromString(recipient));
    for (const peer of peers) {
      if (depositors.has(peer)) continue;
      depositors.set(peer, depositor({ openStream: openStream(peer), signal: stopping.signal }));
    }
    const request = (peer: number, index: number) => ({
      recipient: to[index % to.length]!,
      blob: randomBytes(blobBytes),
      expiresMs: Date.now() + KEEP_MS,
      capability: capabilities[index % to.length]![peer]!,
    });
    const work = peers.map((peer, number) => ({
      mailbox: depositors.get(peer)!,
      first: to.map((_, index) => request(number, index)),
      requests: Array.from({ length: each - to.length }, (_, index) => request(number, index)),
    }));
    await Promise.all(work.map(({ mailbox, first }) => depositAll(mailbox, first)));
    const start = performance.now();
    await Promise.all(
      work.map(async ({ mailbox, requests }) => {
        // Two waves on their way at a time: a depositor takes 16,384 at once.
        let before: Promise<unknown> = Promise.resolve();
        for (let from = 0; from < requests.length; from += WAVE) {
          const wave = depositAll(mailbox, requests.slice(from, from + WAVE));
          await before;
          before = wave;
        }
        await before;
      }),
    );
    const answered = work.reduce((sum, { requests }) => sum + requests.length, 0);
    return (1000 * answered) / (performance.now() - start);
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

  /** Peer ids of peers that never come, in place of those before. */
  async strangers({ count }: { count: number }) {
    strangerKeys = await Promise.all(Array.from({ length: count }, () => generateKeyPair('Ed25519')));
    return strangerKeys.map((key) => peerIdFromPrivateKey(key).toString());
  },
});
