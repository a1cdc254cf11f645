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
import type { Host } from './host.ts';
import type { HeldCertificate } from './own-name.ts';

/** After something changed, or the network did, records are put again once things have settled. */
const SETTLE_MS = 500;

/** A put that reached nobody is tried again this soon: the routing table may still be filling. */
const RETRY_MS = 5_000;

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
  /** The own card or a certificate changed, or there are new peers to keep them. */
  changed(): void;
  /** Publishes and publishes again, until the signal fires. */
  run(): Promise<void>;
}

export interface DhtRecordsInit {
  host: Host;
  nowMs: () => number;
  log: Logger;
  signal: AbortSignal;
  /** What is ours to publish. */
  own: () => Promise<{ card: Uint8Array; certificates: readonly HeldCertificate[] }>;
}

export function dhtRecords({ host, nowMs, log, signal, own }: DhtRecordsInit): DhtRecords {
  const { dht } = host.services;
  let wake: (() => void) | undefined;
  let dirty = false;

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

  const rest = async (ms: number): Promise<void> => {
    const woken = new AbortController();
    wake = () => woken.abort();
    if (!dirty) {
      await delay(ms, undefined, { signal: AbortSignal.any([signal, woken.signal]) }).catch(() => undefined);
    }
    wake = undefined;
    if (dirty) await delay(SETTLE_MS, undefined, { signal }).catch(() => undefined);
    dirty = false;
  };

  return {
    lookupName: (phonebook, name, options) =>
      finding(() => lookupName(dht, { phonebook, name }, { nowMs: nowMs(), ...options })),
    lookupCard: (peer, options) => finding(() => lookupCard(dht, peer, { nowMs: nowMs(), ...options })),
    changed() {
      dirty = true;
      wake?.();
    },
    async run() {
      while (!signal.aborted) {
        let reached = 0;
        try {
          reached = await publish();
        } catch (error) {
          if (signal.aborted) return;
          log('publishing failed: %s', (error as Error).message);
        }
        await rest(reached > 0 ? REPUBLISH_INTERVAL_MS : RETRY_MS);
      }
    },
  };
}
