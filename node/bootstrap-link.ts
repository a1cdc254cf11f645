import { setTimeout as delay } from 'node:timers/promises';
import type { Ed25519PrivateKey, Logger, PeerId, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import { collect } from '../protocols/mailbox/collect.ts';
import type { Blob } from '../protocols/mailbox/collect.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import { phonebookClient } from '../protocols/phonebook/client.ts';
import type { PhonebookClient } from '../protocols/phonebook/client.ts';
import { PHONEBOOK_PROTOCOL, RENEW_INTERVAL_MS } from '../protocols/phonebook/protocol.ts';
import { rendezvousClient } from '../protocols/rendezvous/client.ts';
import { RENDEZVOUS_PROTOCOL } from '../protocols/rendezvous/protocol.ts';
import { backoffMs } from './delivery/backoff.ts';
import { signedPeerRecord } from './host.ts';
import type { Host } from './host.ts';

/** Where all Tincan daemons register, so that any rendezvous client finds them. */
export const RENDEZVOUS_NAMESPACE = 'tincan';

/** The rendezvous spec's shortest time to live is 2 h: registered again at half of it. */
const REGISTER_EVERY_MS = 3600_000;

/** A bootstrap node that has not answered a dial or a request after this is taken for down. */
const REQUEST_TIMEOUT_MS = 10_000;

/** From the second attempt to reach a bootstrap node: soon, then every minute at the most. */
const LINK_BACKOFF = { firstMs: 500, longestMs: 60_000 };

export interface LinkStatus {
  state: 'connected' | 'connecting' | 'down';
  /** Why it is down, or what it refuses. */
  detail: string | null;
  lastSeenMs: number | null;
}

/** One bootstrap node, kept connected: registered there, listed in its phonebook, its mailbox drained. */
export interface BootstrapLink {
  readonly address: Multiaddr;
  readonly peerId: PeerId;
  readonly status: LinkStatus;
  readonly phonebook: PhonebookClient;
  /** Says "I am here" again at once: the name, the card or the addresses have changed. */
  refresh(): void;
  /** Runs until the signal fires. */
  run(): Promise<void>;
}

export interface BootstrapLinkInit {
  address: string;
  host: Host;
  privateKey: Ed25519PrivateKey;
  unlisted: boolean;
  log: Logger;
  nowMs: () => number;
  random: () => number;
  signal: AbortSignal;
  /** The own contact card as it is now. */
  contactCard: () => Promise<Uint8Array>;
  /** Claims or renews the own name there, when that is due. Throws what the phonebook refuses. */
  claimName: (link: BootstrapLink) => Promise<void>;
  /** Commits what a mailbox hands over; it deletes what this resolves for. */
  onBlobs: (blobs: Blob[]) => Promise<void>;
  onConnected: (link: BootstrapLink) => void;
}

/** The peer id that a bootstrap address must end with. @throws SyntaxError that says so */
export function bootstrapPeerId(address: string): PeerId {
  let parts;
  try {
    parts = multiaddr(address).getComponents();
  } catch (error) {
    throw new SyntaxError(`not a multiaddr: ${address} (${(error as Error).message})`, { cause: error });
  }
  const last = parts.at(-1);
  if (last?.name !== 'p2p' || last.value === undefined) {
    throw new SyntaxError(`the address of a bootstrap node ends with /p2p/<its peer id>: ${address}`);
  }
  return peerIdFromString(last.value);
}

export function bootstrapLink(init: BootstrapLinkInit): BootstrapLink {
  const { host, privateKey, log, nowMs, signal } = init;
  const address = multiaddr(init.address);
  const peerId = bootstrapPeerId(init.address);
  const status: LinkStatus = { state: 'connecting', detail: null, lastSeenMs: null };
  let wake: (() => void) | undefined;

  const openStream =
    (protocol: string) =>
    async (options: { signal: AbortSignal }): Promise<Stream> => {
      const connection = host.getConnections(peerId)[0] ?? (await host.dial(address, options));
      return connection.newStream(protocol, options);
    };
  const rendezvous = rendezvousClient({ openStream: openStream(RENDEZVOUS_PROTOCOL) });
  const phonebook = phonebookClient({
    openStream: openStream(PHONEBOOK_PROTOCOL),
    phonebook: peerId.toString(),
    nowMs,
  });

  /** Drains the mailbox while connected; comes back after a pause when that breaks and the connection holds. */
  const drain = async (connected: AbortSignal): Promise<void> => {
    for (let failures = 1; !connected.aborted; failures++) {
      const sinceMs = nowMs();
      try {
        await collect({ openStream: openStream(MAILBOX_PROTOCOL), onBlobs: init.onBlobs, signal: connected });
      } catch (error) {
        if (connected.aborted) return;
        log('collecting from %p stopped: %s', peerId, (error as Error).message);
      }
      if (nowMs() - sinceMs > LINK_BACKOFF.longestMs) failures = 1;
      await delay(backoffMs(failures, init.random(), LINK_BACKOFF), undefined, { signal: connected }).catch(
        () => undefined,
      );
    }
  };

  /** Says "I am here" until the connection is gone. */
  const heartbeat = async (connected: AbortSignal): Promise<void> => {
    let registeredMs = -Infinity;
    while (!connected.aborted) {
      const limit = AbortSignal.any([connected, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
      let intervalMs = RENEW_INTERVAL_MS;
      try {
        const peerRecord = await signedPeerRecord(host, privateKey);
        if (nowMs() - registeredMs > REGISTER_EVERY_MS) {
          await rendezvous.register(RENDEZVOUS_NAMESPACE, peerRecord, undefined, { signal: limit });
          registeredMs = nowMs();
        }
        const presence = { peerRecord, contactCard: await init.contactCard(), listed: !init.unlisted };
        intervalMs = (await phonebook.renew(presence, { signal: limit })).intervalMs;
        await init.claimName(self);
        status.detail = null;
      } catch (error) {
        if (connected.aborted) return;
        status.detail = (error as Error).message;
        log('%p: %s', peerId, status.detail);
      }
      status.lastSeenMs = nowMs();
      const rest = new AbortController();
      wake = () => rest.abort();
      await delay(intervalMs, undefined, { signal: AbortSignal.any([connected, rest.signal]) }).catch(
        () => undefined,
      );
      wake = undefined;
    }
  };

  const stayConnected = async (): Promise<void> => {
    const lost = new AbortController();
    const connected = AbortSignal.any([signal, lost.signal]);
    const onDisconnect = (event: CustomEvent<PeerId>): void => {
      if (event.detail.equals(peerId)) lost.abort(new Error('the connection was lost'));
    };
    host.addEventListener('peer:disconnect', onDisconnect);
    try {
      if (host.getConnections(peerId).length === 0) return;
      status.state = 'connected';
      status.detail = null;
      status.lastSeenMs = nowMs();
      init.onConnected(self);
      await Promise.all([heartbeat(connected), drain(connected)]);
    } finally {
      host.removeEventListener('peer:disconnect', onDisconnect);
    }
  };

  const self: BootstrapLink = {
    address,
    peerId,
    status,
    phonebook,
    refresh: () => wake?.(),
    async run() {
      let failures = 0;
      while (!signal.aborted) {
        try {
          await host.dial(address, {
            signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
          });
          failures = 0;
          await stayConnected();
          status.detail = 'the connection was lost';
        } catch (error) {
          status.detail = (error as Error).message;
        }
        if (signal.aborted) return;
        status.state = 'down';
        failures++;
        log('%p is down: %s', peerId, status.detail);
        await delay(backoffMs(failures, init.random(), LINK_BACKOFF), undefined, { signal }).catch(
          () => undefined,
        );
      }
    },
  };
  return self;
}
