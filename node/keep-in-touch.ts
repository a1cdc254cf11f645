import type { IdentifyResult } from '@libp2p/interface';
import { setTimeout as delay } from 'node:timers/promises';
import type { Delivery } from './delivery/delivery.ts';
import type { Directory } from './directory.ts';
import type { Host } from './host.ts';
import { peerIdOf, parsePeerId } from './peer-ids.ts';
import type { Reach } from './reach.ts';
import type { NodeStore } from './store/operations.ts';

/** Peers dialled at start at the addresses they had before: a daemon whose bootstrap node is gone finds the network by them. */
const MAX_REMEMBERED = 64;

/** Addresses kept of one peer. */
const MAX_ADDRESSES = 8;

/** How often contacts that are not connected are tried. */
const EVERY_MS = 5 * 60_000;

/** Contacts tried at once. */
const PARALLEL = 4;

export interface KeepInTouchInit {
  host: Host;
  store: NodeStore;
  directory: Directory;
  reach: Reach;
  delivery: Delivery;
  signal: AbortSignal;
}

/** Remembers where people are, and keeps a connection to every contact that is there. Runs until the signal fires. */
export async function keepInTouch({
  host,
  store,
  directory,
  reach,
  delivery,
  signal,
}: KeepInTouchInit): Promise<void> {
  const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
    const peer = detail.peerId.toString();
    const addresses = detail.listenAddrs.slice(0, MAX_ADDRESSES).map(String);
    const worthIt = directory.contacts.some((contact) => contact.peer === peer);
    if (worthIt && addresses.length > 0)
      store.call('addresses.put', { peer, addresses }).catch(() => undefined);
  };
  host.addEventListener('peer:identify', onIdentify);
  try {
    for (const { peer, addresses } of await store.call('addresses.list', { limit: MAX_REMEMBERED })) {
      if (parsePeerId(peer) !== undefined) await reach.addAddresses(peer, addresses);
    }
    while (!signal.aborted) {
      const away = directory.contacts
        .map(({ peer }) => peer)
        .filter((peer) => host.getConnections(peerIdOf(peer)).length === 0);
      const tryNext = async (): Promise<void> => {
        for (let peer = away.shift(); peer !== undefined && !signal.aborted; peer = away.shift()) {
          const reached = await reach.connect(peer, { signal }).catch(() => undefined);
          if (reached !== undefined) delivery.greet(peer);
        }
      };
      await Promise.all(Array.from({ length: PARALLEL }, tryNext));
      await delay(EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    host.removeEventListener('peer:identify', onIdentify);
  }
}
