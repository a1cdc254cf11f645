import { setTimeout as delay } from 'node:timers/promises';
import type { IdentifyResult, Logger } from '@libp2p/interface';
import type { Delivery } from './delivery/delivery.ts';
import type { Directory } from './directory.ts';
import type { Host } from './host.ts';
import { parsePeerId } from './peer-ids.ts';
import type { Reach } from './reach.ts';
import type { NodeStore } from './store/operations.ts';

/** Peers dialled at start at the addresses they had before: a daemon whose bootstrap node is gone finds the network by them. */
const MAX_REMEMBERED = 64;

/** Addresses kept of one peer. */
const MAX_ADDRESSES = 8;

/** A friend who comes back is met this soon, also one that no phonebook knows of. */
const EVERY_MS = 5 * 60_000;

/** Contacts tried at once. */
const PARALLEL = 4;

/** Peers whose last saved addresses are known here, so that what has not changed is not saved again. Emptied when full. */
const MAX_SAVED = 1_000;

export interface KeepInTouchInit {
  host: Pick<Host, 'addEventListener' | 'removeEventListener' | 'getConnections' | 'peerStore'>;
  store: NodeStore;
  directory: Pick<Directory, 'contacts'>;
  reach: Pick<Reach, 'connect' | 'addAddresses'>;
  delivery: Pick<Delivery, 'greet'>;
  log: Logger;
  signal: AbortSignal;
  /** How often contacts that are not connected are tried, default 5 minutes. */
  everyMs?: number;
}

/** Where people are: remembered over restarts, and a connection kept to every contact that is there. */
export interface KeepInTouch {
  /** Somebody has become a contact, or has a history with us: keeps where they are now, if that is known. Cheap to repeat. */
  met(peer: string): void;
  /** Runs until the signal fires. */
  run(): Promise<void>;
}

export function keepInTouch(init: KeepInTouchInit): KeepInTouch {
  const { host, store, directory, reach, delivery, log, signal, everyMs = EVERY_MS } = init;
  const saved = new Map<string, string>();
  /** Being met now. */
  const meeting = new Set<string>();

  const save = async (peer: string, addresses: string[]): Promise<void> => {
    const kept = addresses.slice(0, MAX_ADDRESSES);
    const text = kept.join(' ');
    if (kept.length === 0 || saved.get(peer) === text) return;
    if (saved.size >= MAX_SAVED) saved.clear();
    await store.call('addresses.put', { peer, addresses: kept });
    saved.set(peer, text);
  };

  /** Runs in the background. What fails is tried again the next time somebody is met or identified. */
  const inBackground = async (peer: string, act: () => Promise<void>): Promise<void> => {
    try {
      if (!signal.aborted) await act();
    } catch (error) {
      log('addresses of %s were not kept: %s', peer, (error as Error).message);
    }
  };

  const isContact = (peer: string): boolean => directory.contacts.some((contact) => contact.peer === peer);

  const hasHistory = async (peer: string): Promise<boolean> =>
    (await store.call('history.page', { peer, limit: 1 })).length > 0;

  const met = (peer: string): void => {
    const peerId = parsePeerId(peer);
    if (peerId === undefined || saved.has(peer) || meeting.has(peer)) return;
    meeting.add(peer);
    void inBackground(peer, async () => {
      const { addresses } = await host.peerStore.get(peerId).catch(() => ({ addresses: [] }));
      await save(
        peer,
        addresses.map(({ multiaddr }) => multiaddr.toString()),
      );
    }).finally(() => meeting.delete(peer));
  };

  const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    const peer = detail.peerId.toString();
    const addresses = detail.listenAddrs.slice(0, MAX_ADDRESSES).map(String);
    if (parsePeerId(peer) === undefined || addresses.length === 0) return;
    void inBackground(peer, async () => {
      if (isContact(peer) || (await hasHistory(peer))) await save(peer, addresses);
    });
  };

  const recall = async (): Promise<void> => {
    for (const { peer, addresses } of await store.call('addresses.list', { limit: MAX_REMEMBERED })) {
      if (parsePeerId(peer) !== undefined) await reach.addAddresses(peer, addresses);
    }
  };

  /** Contacts without a connection are tried, a few at a time. */
  const seekContacts = async (): Promise<void> => {
    const away = directory.contacts
      .map(({ peer }) => peer)
      .filter((peer) => {
        const peerId = parsePeerId(peer);
        return peerId !== undefined && host.getConnections(peerId).length === 0;
      });
    const tryNext = async (): Promise<void> => {
      for (let peer = away.shift(); peer !== undefined && !signal.aborted; peer = away.shift()) {
        const reached = await reach.connect(peer, { signal }).catch(() => undefined);
        if (reached !== undefined) delivery.greet(peer);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, tryNext));
  };

  return {
    met,

    async run() {
      host.addEventListener('peer:identify', onIdentify);
      try {
        while (!signal.aborted) {
          // Each time: libp2p forgets an address after an hour, and at once when the clock is set years ahead.
          await recall().catch((error: unknown) => {
            log('addresses from before were not read: %s', (error as Error).message);
          });
          await seekContacts();
          await delay(everyMs, undefined, { signal }).catch(() => undefined);
        }
      } finally {
        host.removeEventListener('peer:identify', onIdentify);
      }
    },
  };
}
