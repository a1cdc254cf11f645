import { circuitRelayServer } from '@libp2p/circuit-relay-v2';
import { identify, identifyPush } from '@libp2p/identify';
import type { PrivateKey } from '@libp2p/interface';
import { ping } from '@libp2p/ping';
import { prometheusMetrics } from '@libp2p/prometheus-metrics';
import { createLibp2p } from 'libp2p';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { tincanDht } from '../protocols/dht/service.ts';
import { libp2pBase } from '../protocols/transport/base.ts';
import { keepConnectionRoom } from '../protocols/transport/connection-room.ts';
import { libp2pLogger } from '../protocols/transport/libp2p-logger.ts';
import { HUB_LIMITS } from '../protocols/transport/limits.ts';
import { fatalListenError } from '../protocols/transport/listen-errors.ts';
import type { ListenError } from '../protocols/transport/listen-errors.ts';
import type { BootstrapConfig } from './config.ts';
import { MAX_SHARE_PER_ADDRESS, RELAY_LIMITS } from './limits.ts';
import { isPrivateNetwork } from './private-network.ts';
import { endReservationsOnDisconnect } from './relay-reservations.ts';

/** The bootstrap node's libp2p node. */
export type Host = Awaited<ReturnType<typeof createHost>>['host'];

export interface HostInit {
  config: Pick<BootstrapConfig, 'listen' | 'announce' | 'maxConnections'>;
  privateKey: PrivateKey;
  /** Where libp2p's own metrics go. */
  registry: Registry;
  log: Logger;
}

/**
 * Makes the libp2p node: identify, ping, the DHT as a server and the relay. It listens when `start` is called, so that the
 * handlers are there before the first peer: after a restart hundreds come back at once.
 *
 * @throws InvalidParametersError for an address that is none; `start` throws ListenError when one can't be listened on
 */
export async function createHost({ config, privateKey, registry, log }: HostInit) {
  const errors: ListenError[] = [];
  const base = libp2pBase({
    privateKey,
    listen: config.listen,
    announce: config.announce,
    limits: {
      ...HUB_LIMITS,
      maxConnections: config.maxConnections,
      maxConnectionsPerAddress: Math.min(
        HUB_LIMITS.maxConnectionsPerAddress,
        Math.ceil(config.maxConnections * MAX_SHARE_PER_ADDRESS),
      ),
    },
    onListenError: (error) => errors.push(error),
  });
  const host = await createLibp2p({
    ...base,
    start: false,
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
  endReservationsOnDisconnect(host);
  const { maxConnections } = config;
  keepConnectionRoom(host, { maxConnections, isKept: () => false, nowMs: Date.now });
  return {
    host,
    async start(): Promise<void> {
      await host.start();
      const fatal = fatalListenError(errors, config.listen.length);
      if (fatal !== undefined) throw fatal;
      for (const error of errors) log.warn(error.message);
    },
  };
}
