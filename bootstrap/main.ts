import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { circuitRelayServer } from '@libp2p/circuit-relay-v2';
import { identify, identifyPush } from '@libp2p/identify';
import type { PrivateKey } from '@libp2p/interface';
import { ping } from '@libp2p/ping';
import { prometheusMetrics } from '@libp2p/prometheus-metrics';
import { createLibp2p } from 'libp2p';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { tincanDht } from '../protocols/dht/service.ts';
import { StoreClient } from '../protocols/group-commit/client.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { rendezvousHandler } from '../protocols/rendezvous/handler.ts';
import { RENDEZVOUS_PROTOCOL } from '../protocols/rendezvous/protocol.ts';
import { libp2pBase } from '../protocols/transport/base.ts';
import { loadOrCreateIdentity } from '../protocols/transport/identity-file.ts';
import { libp2pLogger } from '../protocols/transport/libp2p-logger.ts';
import { HUB_LIMITS } from '../protocols/transport/limits.ts';
import { fatalListenError } from '../protocols/transport/listen-errors.ts';
import type { ListenError } from '../protocols/transport/listen-errors.ts';
import type { BootstrapConfig, Ready } from './config.ts';
import { bootstrapHttp, listenHttp } from './http.ts';
import {
  MAX_DISCOVERIES,
  MAX_STORE_QUEUE,
  RELAY_LIMITS,
  RENDEZVOUS_INBOUND_STREAMS,
  STOP_LIBP2P_MS,
} from './limits.ts';
import { registerMetrics } from './metrics.ts';
import { isPrivateNetwork } from './private-network.ts';
import { endReservationsOnDisconnect } from './relay-reservations.ts';
import { rendezvousDecisions } from './rendezvous.ts';
import type { BootstrapOperations, BootstrapStoreInit } from './store-worker.ts';

export interface RunOptions {
  /** Stops the node. */
  signal: AbortSignal;
  /** Told once when the node serves. */
  onReady: (ready: Ready) => void;
}

/**
 * A bootstrap node: rendezvous point, relay and DHT server, with its HTTP endpoints. Resolves after a clean
 * stop, within 3 s of the signal.
 *
 * @throws StoreError (`held` when another process has the data directory), IdentityFileError, ListenError, or an error
 *   that names the setting at fault; nothing is left running then
 */
export async function runBootstrap(config: BootstrapConfig, { signal, onReady }: RunOptions): Promise<void> {
  if (signal.aborted) return;
  await using stack = new AsyncDisposableStack();
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ dest: 2, sync: true }));

  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const store = stack.use(await openStore(config));
  const privateKey = await loadOrCreateIdentity(join(config.dataDir, 'identity.key'));

  const registry = new Registry();
  const listenErrors: ListenError[] = [];
  const node = await createNode(config, privateKey, registry, listenErrors, log);
  stack.defer(async () => {
    const stopped = node.stop();
    const late = Symbol('late');
    if ((await Promise.race([stopped, delay(STOP_LIBP2P_MS, late, { ref: false })])) === late) {
      log.warn('libp2p did not stop in time; its connections are dropped');
    }
  });
  const fatal = fatalListenError(listenErrors, config.listen.length);
  if (fatal !== undefined) throw fatal;
  for (const error of listenErrors) log.warn(error.message);
  endReservationsOnDisconnect(node);

  const serving = new AbortController();
  stack.defer(() => serving.abort(new Error('the bootstrap node is stopping')));
  await node.handle(
    RENDEZVOUS_PROTOCOL,
    rendezvousHandler(
      rendezvousDecisions({ store, maxStoreQueue: MAX_STORE_QUEUE, maxDiscoveries: MAX_DISCOVERIES }),
      {
        signal: serving.signal,
        onError: (error) => log.error({ err: error }, 'a rendezvous request failed'),
      },
    ),
    { maxInboundStreams: RENDEZVOUS_INBOUND_STREAMS, runOnLimitedConnection: true },
  );

  registerMetrics(registry, {
    connectedPeers: () => node.getPeers().length,
    relayReservations: () => node.services.relay.reservations.size,
    registrations: () => store.call('registrations.count', { nowMs: Date.now() }),
    storeQueue: () => store.waiting,
  });
  const http = bootstrapHttp({
    phonebook: {
      list: () => Promise.resolve({ status: 'unavailable' }),
      resolve: () => Promise.resolve({ status: 'unavailable' }),
    },
    metrics: registry,
    notReady: () => (store.waiting >= MAX_STORE_QUEUE ? 'the store is behind' : undefined),
    onError: (error) => log.error({ err: error }, 'an HTTP request failed'),
  });
  stack.defer(() => http.close());
  const url = await listenHttp(http, config.http);

  if (signal.aborted) return;
  const ready: Ready = {
    peerId: node.peerId.toString(),
    multiaddrs: node.getMultiaddrs().map(String),
    http: url,
  };
  log.info(ready, 'ready');
  onReady(ready);
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  log.info('stopping');
}

async function openStore(config: BootstrapConfig): Promise<StoreClient<BootstrapOperations>> {
  const init: BootstrapStoreInit = { file: join(config.dataDir, 'bootstrap.db') };
  try {
    return await StoreClient.open<BootstrapOperations>(import.meta, './store-worker', init);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const message =
      error.code === 'held'
        ? `another process uses ${config.dataDir}; stop it or choose another data directory`
        : `cannot open ${init.file}: ${error.message}`;
    throw new StoreError(message, error.code, { cause: error });
  }
}

function createNode(
  config: BootstrapConfig,
  privateKey: PrivateKey,
  registry: Registry,
  listenErrors: ListenError[],
  log: Logger,
) {
  return createLibp2p({
    ...libp2pBase({
      privateKey,
      listen: config.listen,
      announce: config.announce,
      limits: { ...HUB_LIMITS, maxConnections: config.maxConnections },
      onListenError: (error) => listenErrors.push(error),
    }),
    logger: libp2pLogger(log),
    metrics: prometheusMetrics({ registry }),
    services: {
      identify: identify(),
      identifyPush: identifyPush(),
      ping: ping(),
      dht: tincanDht({ clientMode: false, privateNetwork: isPrivateNetwork(config), nowMs: Date.now }),
      relay: circuitRelayServer({
        maxInboundHopStreams: RELAY_LIMITS.maxHopStreams,
        maxOutboundHopStreams: RELAY_LIMITS.maxHopStreams,
        maxOutboundStopStreams: RELAY_LIMITS.maxStopStreams,
        reservations: {
          // A reservation without a connection is no use, so there can be no more of them than connections.
          maxReservations: config.maxConnections,
          reservationTtl: RELAY_LIMITS.reservationTtlMs,
          applyDefaultLimit: true,
          defaultDurationLimit: RELAY_LIMITS.connectionDurationMs,
          defaultDataLimit: RELAY_LIMITS.connectionBytes,
        },
      }),
    },
  });
}
