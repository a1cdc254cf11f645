import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { BlockCounts } from './mailbox-blocks.ts';
import type { MailboxCounts } from './mailbox.ts';
import type { PrekeyCounts } from './prekeys.ts';

/** Where a bootstrap node's own figures come from; read only when somebody asks for them. */
export interface MetricSources {
  connectedPeers: () => number;
  relayReservations: () => number;
  registrations: () => Promise<number>;
  phonebook: () => Promise<{ names: number; known: number; online: number }>;
  mailboxTotals: () => Promise<{ blobs: number; blocks: number }>;
  mailbox: () => MailboxCounts;
  blockRequests: () => BlockCounts;
  prekeyBytes: () => Promise<number>;
  prekeys: () => PrekeyCounts;
  storeQueue: () => number;
  storeBytes: () => Promise<number>;
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
  /** The sources count since the start themselves; here their counts are only shown. */
  const counter = <Label extends string>(
    name: string,
    help: string,
    label: Label,
    read: () => Record<string, number>,
  ): void => {
    registry.registerMetric(
      new Counter({
        name,
        help,
        labelNames: [label],
        registers: [],
        collect() {
          this.reset();
          for (const [value, count] of Object.entries(read())) {
            this.inc({ [label]: value } as Record<Label, string>, count);
          }
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
  gauge('tincan_names', 'Names that have an owner', async () => (await sources.phonebook()).names);
  gauge('tincan_peers_online', 'Peers that renewed their presence in the last 90 s', async () => {
    return (await sources.phonebook()).online;
  });
  gauge('tincan_mailbox_blobs', 'Blobs held for recipients', async () => {
    return (await sources.mailboxTotals()).blobs;
  });
  gauge('tincan_mailbox_blocks', 'Depositors that recipients have blocked, or had', async () => {
    return (await sources.mailboxTotals()).blocks;
  });
  gauge(
    'tincan_mailbox_collecting',
    'Recipients with an open collect stream',
    () => sources.mailbox().collecting,
  );
  counter(
    'tincan_deposits_total',
    'Deposits by what became of them',
    'status',
    () => sources.mailbox().deposits,
  );
  counter(
    'tincan_stranger_deposits_total',
    'Deposits without a capability, by what became of them',
    'status',
    () => sources.mailbox().ofStrangers,
  );
  counter(
    'tincan_capability_checks_total',
    'Signatures of capabilities that were looked at, by what came of it',
    'outcome',
    () => sources.mailbox().capabilities,
  );
  counter('tincan_block_requests_total', 'Requests about depositors by what became of them', 'outcome', () =>
    sources.blockRequests(),
  );
  counter('tincan_blobs_total', 'Blobs by what became of them after they were stored', 'end', () => {
    const { sent, acknowledged, expired } = sources.mailbox();
    return { sent, acknowledged, expired };
  });
  gauge('tincan_prekey_bytes', 'Disk that prekeys take', sources.prekeyBytes);
  counter('tincan_prekey_requests_total', 'Requests about prekeys by what became of them', 'outcome', () =>
    sources.prekeys(),
  );
  gauge('tincan_store_queue', 'Calls waiting for the store', sources.storeQueue);
  gauge('tincan_store_bytes', 'Disk the store takes, nearly all of it blobs', sources.storeBytes);
}
