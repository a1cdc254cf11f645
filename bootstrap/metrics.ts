import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

/** Where a bootstrap node's own figures come from; read only when somebody asks for them. */
export interface MetricSources {
  connectedPeers: () => number;
  relayReservations: () => number;
  registrations: () => Promise<number>;
  storeQueue: () => number;
}

/** Adds the bootstrap node's own figures to those of libp2p and Node. */
export function registerMetrics(registry: Registry, sources: MetricSources): void {
  const gauge = (name: string, help: string, read: () => number | Promise<number>): void => {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        async collect() {
          this.set(await read());
        },
      }),
    );
  };
  gauge('tincan_connected_peers', 'Peers connected now', sources.connectedPeers);
  gauge(
    'tincan_relay_reservations',
    'Peers that can be reached through this relay',
    sources.relayReservations,
  );
  gauge('tincan_registrations', 'Rendezvous registrations that have not expired', sources.registrations);
  gauge('tincan_store_queue', 'Calls waiting for the store', sources.storeQueue);
}
