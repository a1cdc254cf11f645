import { setTimeout as delay } from 'node:timers/promises';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { bootstrapLink, bootstrapPeerId } from '../../../node/bootstrap-link.ts';
import { signedPeerRecord } from '../../../node/host.ts';
import { sealCard } from '../../../protocols/contact-card/card.ts';
import { libp2pBase } from '../../../protocols/transport/base.ts';
import { DAEMON_LIMITS } from '../../../protocols/transport/limits.ts';
import { serveBench } from '../../benchmarks/bench-process.ts';
import { randomFrom } from '../../harness/random.ts';

/*
 * Many peers in one process that are to a bootstrap node what daemons are: the daemon's own link to it, on a libp2p node
 * with the daemon's limits, without a store, a DHT or friends.
 */

/** Peers that start at the same time: more would wait for each other's handshakes. */
const STARTED_TOGETHER = 16;

const CARD_LIFETIME_MS = 24 * 3600_000;

export interface LightPeersInit {
  /** Address of the bootstrap node. */
  to: string;
  /** Their names; one peer for each. */
  names: readonly string[];
  seed: number;
}

/** What happened to one peer since the last `expect`. */
export interface LightPeerReport {
  name: string;
  peerId: string;
  /** Milliseconds since 1970; undefined if it has not been. */
  connectedMs: number | undefined;
  renewedMs: number | undefined;
  /** The blobs it has taken, each as often as it came. */
  blobs: string[];
}

export interface LightPeersReport {
  peers: LightPeerReport[];
  dials: number;
  /** Dials that failed, by what they said. */
  failures: Record<string, number>;
}

interface LightPeer {
  name: string;
  peerId: string;
  connectedMs: number | undefined;
  renewedMs: number | undefined;
  blobs: string[];
  /** Cuts all its connections at once, as a network does. */
  cut(): void;
}

const peers: LightPeer[] = [];
let dials = 0;
let failures: Record<string, number> = {};
/** While it is held, nothing out of a mailbox is taken: it stays there. */
let holding = true;
let unreachableUntilMs = 0;
const { signal } = new AbortController();

/** Numbers in an error, such as ports, make no kind of their own. */
function kindOf(error: Error): string {
  return `${error.name}: ${error.message.replaceAll(/\d+/g, 'N').slice(0, 80)}`;
}

async function lightPeer(to: string, name: string, seed: number): Promise<LightPeer> {
  const privateKey = await generateKeyPair('Ed25519');
  const host = await createLibp2p({
    ...libp2pBase({
      privateKey,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      limits: DAEMON_LIMITS,
      onListenError: ({ message }) => {
        throw new Error(message);
      },
    }),
    services: { identify: identify(), ping: ping() },
  });
  const peerId = host.peerId.toString();
  const contactCard = await sealCard(privateKey, {
    peerId,
    name,
    mailboxes: [
      { peerId: bootstrapPeerId(to).toString(), multiaddrs: [to.slice(0, to.lastIndexOf('/p2p/'))] },
    ],
    seq: Date.now(),
    expiresMs: Date.now() + CARD_LIFETIME_MS,
  });
  const lost = (): Promise<never> =>
    new Promise((_, reject) => {
      host.addEventListener('peer:disconnect', () => reject(new Error('lost meanwhile')), { once: true });
    });
  const peer: LightPeer = {
    name,
    peerId,
    connectedMs: undefined,
    renewedMs: undefined,
    blobs: [],
    cut() {
      for (const connection of host.getConnections()) connection.abort(new Error('the network is gone'));
    },
  };
  let claimed = false;
  const link = bootstrapLink({
    addresses: [to],
    host: {
      dial: async (...args) => {
        dials++;
        try {
          if (Date.now() < unreachableUntilMs) throw new Error('the network is unreachable');
          return await host.dial(...args);
        } catch (error) {
          const kind = kindOf(error as Error);
          failures[kind] = (failures[kind] ?? 0) + 1;
          throw error;
        }
      },
      getConnections: host.getConnections.bind(host),
      getMultiaddrs: host.getMultiaddrs.bind(host),
      addEventListener: host.addEventListener.bind(host),
      removeEventListener: host.removeEventListener.bind(host),
    },
    privateKey,
    unlisted: false,
    log: host.logger.forComponent('light-clients'),
    nowMs: Date.now,
    random: randomFrom(seed),
    signal,
    contactCard: async () => contactCard,
    async claimName({ phonebook }) {
      if (!claimed) {
        const peerRecord = await signedPeerRecord(host, privateKey);
        const claim = { name, privateKey, peerRecord, contactCard, listed: true };
        await phonebook.claim(claim, { signal: AbortSignal.timeout(10_000) });
      }
      claimed = true;
      peer.renewedMs ??= Date.now();
    },
    async onBlobs(blobs) {
      if (holding) await lost();
      for (const { blob } of blobs) peer.blobs.push(Buffer.from(blob).toString('hex'));
    },
    onConnected() {
      peer.connectedMs = Date.now();
    },
  });
  void link.run();
  return peer;
}

serveBench({
  /** Starts peers, and resolves when all are connected and have said that they are there. */
  async start({ to, names, seed }: LightPeersInit) {
    multiaddr(to);
    for (let from = 0; from < names.length; from += STARTED_TOGETHER) {
      const together = names.slice(from, from + STARTED_TOGETHER);
      const started = await Promise.all(
        together.map((name, index) => lightPeer(to, name, seed + from + index)),
      );
      peers.push(...started);
      while (started.some(({ renewedMs }) => renewedMs === undefined)) await delay(10);
    }
    return peers.map(({ name, peerId }) => ({ name, peerId }));
  },

  /** Forgets what happened so far; from now on, what is in a mailbox is taken. */
  expect() {
    holding = false;
    dials = 0;
    failures = {};
    for (const peer of peers) {
      peer.connectedMs = undefined;
      peer.renewedMs = undefined;
      peer.blobs = [];
    }
  },

  /** The network goes, and is back after so long. */
  cut({ forMs }: { forMs: number }) {
    unreachableUntilMs = Date.now() + forMs;
    for (const peer of peers) peer.cut();
  },

  report(): LightPeersReport {
    return {
      peers: peers.map(({ name, peerId, connectedMs, renewedMs, blobs }) => ({
        name,
        peerId,
        connectedMs,
        renewedMs,
        blobs,
      })),
      dials,
      failures,
    };
  },
});
