import { kadDHT, passthroughMapper, removePrivateAddressesMapper } from '@libp2p/kad-dht';
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht';
import { openCard } from '../contact-card/card.ts';
import type { ContactCard } from '../contact-card/card.ts';
import { verifyCertificate } from '../phonebook/certificate.ts';
import type { NameCertificate } from '../phonebook/certificate.ts';
import { normaliseName } from '../phonebook/name.ts';
import { DHT_MESSAGE_LIMITS, guardStream } from './message-guard.ts';
import { pacedRegistrar } from './paced-requests.ts';
import { recordStore } from './record-store.ts';
import { CARD_NAMESPACE, cardKey, NAME_NAMESPACE, nameKey, recordRules } from './records.ts';

export const DHT_PROTOCOL = '/tincan/kad/1.0.0';

/** Servers that hold a record. With 5, networks of 50 to 100 peers lost lookups; 20 is what the Kademlia paper has. */
const K = 20;

/** A lookup ends when so many servers have answered with a valid record: one stale or lying server doesn't decide. */
const QUORUM = 4;

/** What others keep for the network, at most: 50,000 typical records. */
const MAX_RECORD_BYTES = 32 * 1024 * 1024;

/**
 * How often the owner of a record puts it again. Servers drop what is older than 48 hours, and they come and go; nobody
 * but the owner republishes.
 */
export const REPUBLISH_INTERVAL_MS = 60 * 60 * 1000;

export interface TincanDhtInit {
  /** True to ask only, false to answer others too. */
  clientMode: boolean;
  /** True where peers reach each other by private addresses, which are filtered out otherwise. */
  privateNetwork: boolean;
  nowMs: () => number;
}

/**
 * The DHT as a libp2p service. It needs the services `identify` and `ping` beside it.
 *
 * @example
 * ```ts
 * services: { identify: identify(), ping: ping(), dht: tincanDht({ clientMode: false, privateNetwork: true, nowMs }) }
 * ```
 */
export function tincanDht({
  clientMode,
  privateNetwork,
  nowMs,
}: TincanDhtInit): (components: KadDHTComponents) => KadDHT {
  const create = kadDHT({
    protocol: DHT_PROTOCOL,
    clientMode,
    kBucketSize: K,
    // A lone node answers at once that it knows nothing, instead of waiting for a first peer.
    allowQueryWithZeroPeers: true,
    peerInfoMapper: privateNetwork ? passthroughMapper : removePrivateAddressesMapper,
    ...recordRules({ nowMs }),
  });
  return (components) => {
    const { metrics } = components;
    return create({
      peerId: components.peerId,
      privateKey: components.privateKey,
      registrar: guardedRegistrar(pacedRegistrar(components.registrar)),
      addressManager: components.addressManager,
      peerStore: components.peerStore,
      connectionManager: guardedConnections(components.connectionManager),
      events: components.events,
      logger: components.logger,
      ...(metrics === undefined ? {} : { metrics }),
      // The node's own datastore has no bounds, and anybody may put.
      datastore: recordStore(MAX_RECORD_BYTES),
      // Set by libp2p after this service, if it stands after it.
      get ping() {
        return components.ping;
      },
    });
  };
}

/** The node's registrar, but that requests are looked at before kad-dht reads them. */
function guardedRegistrar(registrar: KadDHTComponents['registrar']): KadDHTComponents['registrar'] {
  const handle: typeof registrar.handle = async (protocol, handler, options) =>
    registrar.handle(
      protocol,
      (stream, connection) => handler(guardStream(stream, DHT_MESSAGE_LIMITS.maxRequestBytes), connection),
      options,
    );
  return Object.assign(Object.create(registrar) as typeof registrar, { handle });
}

/** The node's connections, but that answers are looked at before kad-dht reads them. */
function guardedConnections(
  connections: KadDHTComponents['connectionManager'],
): KadDHTComponents['connectionManager'] {
  const openStream: typeof connections.openStream = async (peer, protocol, options) =>
    guardStream(await connections.openStream(peer, protocol, options), DHT_MESSAGE_LIMITS.maxAnswerBytes);
  return Object.assign(Object.create(connections) as typeof connections, { openStream });
}

/** The parts of the service that publishing and looking up use. */
export type DhtRecords = Pick<KadDHT, 'get' | 'put' | 'validators'>;

/**
 * Puts a name certificate into the DHT. To be repeated every `REPUBLISH_INTERVAL_MS`.
 *
 * @returns how many other nodes stored it
 * @throws InvalidCertificateError, or StaleRecordError when a later certificate is known
 */
export async function publishCertificate(
  dht: DhtRecords,
  certificate: { bytes: Uint8Array; phonebook: string; name: string },
  { signal }: { signal: AbortSignal },
): Promise<number> {
  const key = nameKey(certificate.phonebook, certificate.name);
  return publish(dht, NAME_NAMESPACE, key, certificate.bytes, signal);
}

/**
 * Puts a contact card into the DHT. To be repeated every `REPUBLISH_INTERVAL_MS`.
 *
 * @returns how many other nodes stored it
 * @throws InvalidContactCardError, or StaleRecordError when a later card is known
 */
export async function publishCard(
  dht: DhtRecords,
  card: { bytes: Uint8Array; peerId: string },
  { signal }: { signal: AbortSignal },
): Promise<number> {
  return publish(dht, CARD_NAMESPACE, cardKey(card.peerId), card.bytes, signal);
}

export interface LookupOptions {
  nowMs: number;
  signal: AbortSignal;
}

/**
 * Finds who holds a name of a phonebook, also while the phonebook is away. Null when nobody says.
 *
 * @throws InvalidNameError, or the signal's reason when it fires before anything is found
 */
export async function lookupName(
  dht: DhtRecords,
  { phonebook, name }: { phonebook: string; name: string },
  { nowMs, signal }: LookupOptions,
): Promise<{ certificate: NameCertificate; bytes: Uint8Array } | null> {
  const found = await lookup(dht, nameKey(phonebook, normaliseName(name)), signal, async (bytes) => {
    const certificate = await verifyCertificate(bytes, { nowMs });
    return { certificate, seq: certificate.seq, bytes };
  });
  return found === null ? null : { certificate: found.certificate, bytes: found.bytes };
}

/**
 * Finds the contact card of a peer. Null when nobody has one.
 *
 * @throws the signal's reason when it fires before anything is found
 */
export async function lookupCard(
  dht: DhtRecords,
  peerId: string,
  { nowMs, signal }: LookupOptions,
): Promise<{ card: ContactCard; bytes: Uint8Array } | null> {
  const found = await lookup(dht, cardKey(peerId), signal, async (bytes) => {
    const card = await openCard(bytes, { nowMs });
    return { card, seq: card.seq, bytes };
  });
  return found === null ? null : { card: found.card, bytes: found.bytes };
}

async function publish(
  dht: DhtRecords,
  namespace: string,
  key: Uint8Array,
  value: Uint8Array,
  signal: AbortSignal,
): Promise<number> {
  // A put of an invalid record looks like a success: every server refuses it, and nobody says so.
  await dht.validators[namespace]!(key, value, { signal });
  let stored = 0;
  for await (const event of dht.put(key, value, { signal })) {
    if (event.name !== 'PEER_RESPONSE' || event.messageName !== 'PUT_VALUE') continue;
    if (event.record !== undefined && Buffer.from(value).equals(event.record.value)) stored++;
  }
  return stored;
}

async function lookup<Found extends { seq: number }>(
  dht: DhtRecords,
  key: Uint8Array,
  signal: AbortSignal,
  open: (value: Uint8Array) => Promise<Found>,
): Promise<Found | null> {
  const values: Uint8Array[] = [];
  try {
    for await (const event of dht.get(key, { signal })) {
      // kad-dht has validated what it shows here, and gives the best of them only at the very end.
      if (event.name === 'VALUE') values.push(event.value);
      else if (event.name === 'PEER_RESPONSE' && event.record !== undefined) values.push(event.record.value);
      if (values.length >= QUORUM) break;
    }
  } catch (error) {
    // Also thrown when one server could not be given a newer record than it had. What was found is valid all the same.
    if (values.length === 0) throw error;
  }
  let best: Found | null = null;
  for (const value of values) {
    // It may have expired since, or the clocks given may differ.
    const found = await open(value).catch(() => null);
    if (found !== null && (best === null || found.seq > best.seq)) best = found;
  }
  return best;
}
