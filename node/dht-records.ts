import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@libp2p/interface';
import type { ContactCard } from '../protocols/contact-card/card.ts';
import {
  lookupCard,
  lookupName,
  publishCard,
  publishCertificate,
  REPUBLISH_INTERVAL_MS,
} from '../protocols/dht/service.ts';
import type { NameCertificate } from '../protocols/phonebook/certificate.ts';
import { backoffMs } from './delivery/backoff.ts';
import type { Host } from './host.ts';
import type { HeldCertificate } from './own-name.ts';

/** After something changed, or the network did, records are put again once things have settled. */
const SETTLE_MS = 500;

/** A put that reached nobody is tried again: soon, as the routing table may still be filling, then less and less often. */
const RETRY = { firstMs: 5_000, longestMs: 5 * 60_000 };

/** New peers are no reason to put everything more often than this. */
const PEERS_INTERVAL_MS = 5_000;

/** Records that so many nodes hold need no new peers to hold them before they are put again anyway: Kademlia's k. */
const ENOUGH_HOLDERS = 20;

const PUT_TIMEOUT_MS = 30_000;

/** Cards and name certificates in the DHT: finding others', and keeping our own there. */
export interface DhtRecords {
  lookupName(
    phonebook: string,
    name: string,
    options: { signal: AbortSignal },
  ): Promise<{ certificate: NameCertificate; bytes: Uint8Array } | undefined>;
  lookupCard(
    peer: string,
    options: { signal: AbortSignal },
  ): Promise<{ card: ContactCard; bytes: Uint8Array } | undefined>;
  /** The own card or a certificate changed. */
  changed(): void;
  /** There are new peers that could keep our records. */
  peersChanged(): void;
  /** Publishes and publishes again, until the signal fires. */
  run(): Promise<void>;
}

export interface DhtRecordsInit {
  host: Pick<Host, 'peerId' | 'services'>;
  nowMs: () => number;
  log: Logger;
  /** A number in [0, 1), as `Math.random`. */
  random: () => number;
  signal: AbortSignal;
  /** What is ours to publish. */
  own: () => Promise<{ card: Uint8Array; certificates: readonly HeldCertificate[] }>;
}

export function dhtRecords({ host, nowMs, log, random, signal, own }: DhtRecordsInit): DhtRecords {
  const { dht } = host.services;
  let wake: (() => void) | undefined;
  /** Since the last publishing began. */
  let changed = false;
  let newPeers = false;

  /** Nothing found, and nobody there to ask, are the same to who asks. */
  const finding = async <Value>(look: () => Promise<Value | null>): Promise<Value | undefined> => {
    try {
      return (await look()) ?? undefined;
    } catch (error) {
      log('lookup ended: %s', (error as Error).message);
      return undefined;
    }
  };

  /** How many nodes hold each of our records; the fewest. One that can't be published does not hold up the others. */
  const publish = async (): Promise<number> => {
    const { card, certificates } = await own();
    const limit = { signal: AbortSignal.any([signal, AbortSignal.timeout(PUT_TIMEOUT_MS)]) };
    const peerId = host.peerId.toString();
    const puts = [
      () => publishCard(dht, { bytes: card, peerId }, limit),
      ...certificates.map(
        ({ bytes, certificate: { phonebook, name } }) =>
          () =>
            publishCertificate(dht, { bytes, phonebook, name }, limit),
      ),
    ];
    let fewest = Infinity;
    for (const put of puts) {
      try {
        fewest = Math.min(fewest, await put());
      } catch (error) {
        if (signal.aborted) throw error;
        fewest = 0;
        log('publishing failed: %s', (error as Error).message);
      }
    }
    return fewest;
  };

  /** Waits at most so long, less when `why` comes true. */
  const restUnless = async (why: () => boolean, ms: number): Promise<void> => {
    const dueMs = performance.now() + ms;
    while (!why() && !signal.aborted && performance.now() < dueMs) {
      const woken = new AbortController();
      wake = () => woken.abort();
      const limit = AbortSignal.any([signal, woken.signal]);
      await delay(dueMs - performance.now(), undefined, { signal: limit }).catch(() => undefined);
    }
    wake = undefined;
  };

  return {
    lookupName: (phonebook, name, options) =>
      finding(() => lookupName(dht, { phonebook, name }, { nowMs: nowMs(), ...options })),
    lookupCard: (peer, options) => finding(() => lookupCard(dht, peer, { nowMs: nowMs(), ...options })),
    changed() {
      changed = true;
      wake?.();
    },
    peersChanged() {
      newPeers = true;
      wake?.();
    },
    async run() {
      for (let failures = 0; !signal.aborted;) {
        changed = false;
        newPeers = false;
        const sinceMs = performance.now();
        let reached = 0;
        try {
          reached = await publish();
        } catch (error) {
          if (signal.aborted) return;
          log('publishing failed: %s', (error as Error).message);
        }
        failures = reached > 0 ? 0 : failures + 1;
        const ms = reached > 0 ? REPUBLISH_INTERVAL_MS : backoffMs(failures, random(), RETRY);
        await restUnless(() => changed || (newPeers && reached < ENOUGH_HOLDERS), ms);
        if (newPeers) failures = 0;
        const early = changed || reached === 0 ? 0 : PEERS_INTERVAL_MS - (performance.now() - sinceMs);
        if (changed || newPeers) await delay(SETTLE_MS, undefined, { signal }).catch(() => undefined);
        if (early > SETTLE_MS) await restUnless(() => changed, early - SETTLE_MS);
      }
    },
  };
}
