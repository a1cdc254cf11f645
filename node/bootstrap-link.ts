import { setTimeout as delay } from 'node:timers/promises';
import type { Ed25519PrivateKey, Logger, PeerId, Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import { collect } from '../protocols/mailbox/collect.ts';
import type { Blob } from '../protocols/mailbox/collect.ts';
import { prekeysClient } from '../protocols/mailbox/prekeys-client.ts';
import type { PrekeysClient } from '../protocols/mailbox/prekeys-client.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import { phonebookClient } from '../protocols/phonebook/client.ts';
import type { PhonebookClient } from '../protocols/phonebook/client.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import { PHONEBOOK_PROTOCOL, RENEW_INTERVAL_MS } from '../protocols/phonebook/protocol.ts';
import { rendezvousClient } from '../protocols/rendezvous/client.ts';
import { RENDEZVOUS_PROTOCOL } from '../protocols/rendezvous/protocol.ts';
import { backoffMs } from './delivery/backoff.ts';
import type { Sleep } from './delivery/ways.ts';
import { signedPeerRecord } from './host.ts';
import type { Host } from './host.ts';
import { parsePeerId } from './peer-ids.ts';
import { dropSilent } from './silent-connections.ts';

/** Where all Tincan daemons register, so that any rendezvous client finds them. */
export const RENDEZVOUS_NAMESPACE = 'tincan';

/** The rendezvous spec's shortest time to live is 2 h: registered again at half of it. */
const REGISTER_EVERY_MS = 3600_000;

/** A bootstrap node that has not answered a dial or a request after this is taken for down. */
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * A connection that was lost before this counts as one more failure: a node that is full drops us at once. One that held
 * for longer was a good one, also when the node is started again several times in a minute.
 */
const SHORT_LIVED_MS = 10_000;

/** What changed while we spoke is said after this: at once to a person, and no spinning if a node makes us change each time. */
const REFRESH_PAUSE_MS = 200;

/**
 * From the second attempt to reach a bootstrap node: soon, then every half minute at the most. Everybody has tried twice
 * within a minute of its coming back, and a thousand who still try are 50 dials a second.
 */
const LINK_BACKOFF = { firstMs: 500, longestMs: 30_000 };

/** The share of the interval between renewals that is left to chance: those who came back together spread out again. */
const RENEWAL_SPREAD = 0.2;

export interface LinkStatus {
  state: 'connected' | 'connecting' | 'down';
  /** Why it is down, or what it refuses. */
  detail: string | null;
  /** When it last answered. */
  lastSeenMs: number | null;
}

/** One bootstrap node, kept connected: registered there, listed in its phonebook, its mailbox drained. */
export interface BootstrapLink {
  readonly address: Multiaddr;
  readonly peerId: PeerId;
  readonly status: LinkStatus;
  readonly phonebook: PhonebookClient;
  /** Our prekeys in the mailbox there. */
  readonly prekeys: PrekeysClient;
  /** Says "I am here" again at once: the name, the card or the addresses have changed. */
  refresh(): void;
  /** Asks the node for a sign of life, and drops the connection if there is none: then it is dialled anew. */
  verify(): Promise<void>;
  /** Runs until the signal fires. */
  run(): Promise<void>;
}

export interface BootstrapLinkInit {
  /** One or more, all of the same bootstrap node; the first is what it is called by. */
  addresses: readonly string[];
  host: Pick<Host, 'dial' | 'getConnections' | 'getMultiaddrs' | 'addEventListener' | 'removeEventListener'>;
  privateKey: Ed25519PrivateKey;
  unlisted: boolean;
  log: Logger;
  nowMs: () => number;
  random: () => number;
  /** How it waits between attempts. Default: the clock's own. */
  sleep?: Sleep;
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
  const peerId = parsePeerId(last?.name === 'p2p' ? (last.value ?? '') : '');
  if (peerId === undefined || parts.length < 2) {
    throw new SyntaxError(
      `the address of a bootstrap node ends with /p2p/<its peer id>, as in /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…: ${address}`,
    );
  }
  return peerId;
}

/** Configured addresses by the bootstrap node they lead to: one that is named twice is one node all the same. */
export function addressesByNode(addresses: readonly string[]): string[][] {
  const nodes = Map.groupBy(new Set(addresses), (address) => bootstrapPeerId(address).toString());
  return [...nodes.values()];
}

/** What went wrong, and what to do about it, in one line of a status. */
function describe(error: Error): string {
  return error instanceof PhonebookError ? `${error.message}; ${error.hint}` : error.message;
}

export function bootstrapLink(init: BootstrapLinkInit): BootstrapLink {
  const { host, privateKey, log, nowMs, signal } = init;
  const sleep: Sleep = init.sleep ?? ((ms, options) => delay(ms, undefined, options));
  const addresses = init.addresses.map((text) => multiaddr(text));
  const peerId = bootstrapPeerId(init.addresses[0]!);
  const status: LinkStatus = { state: 'connecting', detail: null, lastSeenMs: null };
  /** There is something new to say, since the heartbeat looked last. */
  let fresh = false;
  let wake: (() => void) | undefined;

  const openStream =
    (protocol: string) =>
    async (options: { signal: AbortSignal }): Promise<Stream> => {
      const connection = host.getConnections(peerId)[0] ?? (await host.dial(addresses, options));
      return connection.newStream(protocol, options);
    };
  const rendezvous = rendezvousClient({ openStream: openStream(RENDEZVOUS_PROTOCOL) });
  const phonebook = phonebookClient({
    openStream: openStream(PHONEBOOK_PROTOCOL),
    phonebook: peerId.toString(),
    nowMs,
  });

  /** Rests between attempts: twice as long after each failure in a row. */
  const restAfter = (failures: number, options: { signal: AbortSignal }): Promise<void> =>
    sleep(backoffMs(failures, init.random(), LINK_BACKOFF), options).catch(() => undefined);

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
      if (nowMs() - sinceMs > SHORT_LIVED_MS) failures = 1;
      await restAfter(failures, { signal: connected });
    }
  };

  /** Says "I am here" until the connection is gone. What one part of the node refuses keeps us from no other. */
  const heartbeat = async (connected: AbortSignal): Promise<void> => {
    let registeredMs = -Infinity;
    while (!connected.aborted) {
      fresh = false;
      let intervalMs = RENEW_INTERVAL_MS;
      let trouble: string | null = null;
      const say = async (act: (options: { signal: AbortSignal }) => Promise<void>): Promise<void> => {
        const late = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
        try {
          await act({ signal: AbortSignal.any([connected, late]) });
          status.lastSeenMs = nowMs();
        } catch (error) {
          if (connected.aborted) return;
          // The last one counts: the phonebook's refusals are what a person can do something about.
          trouble = describe(error as Error);
          log('%p: %s', peerId, trouble);
          if (late.aborted) await self.verify();
        }
      };
      await say(async (options) => {
        // A clock set back far makes it long ago, too.
        if (Math.abs(nowMs() - registeredMs) <= REGISTER_EVERY_MS) return;
        const record = await signedPeerRecord(host, privateKey);
        await rendezvous.register(RENDEZVOUS_NAMESPACE, record, undefined, options);
        registeredMs = nowMs();
      });
      await say(async (options) => {
        const peerRecord = await signedPeerRecord(host, privateKey);
        const presence = { peerRecord, contactCard: await init.contactCard(), listed: !init.unlisted };
        ({ intervalMs } = await phonebook.renew(presence, options));
        await init.claimName(self);
      });
      if (connected.aborted) return;
      status.detail = trouble;
      const restMs = fresh ? REFRESH_PAUSE_MS : intervalMs * (1 - RENEWAL_SPREAD * init.random());
      const rest = new AbortController();
      wake = () => rest.abort();
      await delay(restMs, undefined, { signal: AbortSignal.any([connected, rest.signal]) }).catch(
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
    address: addresses[0]!,
    peerId,
    status,
    phonebook,
    prekeys: prekeysClient({ openStream: openStream(MAILBOX_PROTOCOL) }),
    refresh() {
      fresh = true;
      wake?.();
    },
    async verify() {
      const dropped = await dropSilent(host.getConnections(peerId), { signal });
      if (dropped > 0) log('%p does not answer any more: its connection was dropped', peerId);
    },
    async run() {
      for (let failures = 1; !signal.aborted; failures++) {
        const sinceMs = nowMs();
        try {
          await host.dial(addresses, {
            signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
          });
          await stayConnected();
          status.detail = 'the connection was lost';
        } catch (error) {
          status.detail = (error as Error).message;
        }
        if (signal.aborted) return;
        status.state = 'down';
        if (nowMs() - sinceMs > SHORT_LIVED_MS) failures = 1;
        log('%p is down: %s', peerId, status.detail);
        await restAfter(failures, { signal });
      }
    },
  };
  return self;
}
