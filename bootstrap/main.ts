import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { StoreClient } from '../protocols/group-commit/client.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { MAILBOX_STREAMS, mailboxHandler } from '../protocols/mailbox/handler.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import { phonebookHandler } from '../protocols/phonebook/handler.ts';
import { PHONEBOOK_PROTOCOL } from '../protocols/phonebook/protocol.ts';
import { rendezvousHandler } from '../protocols/rendezvous/handler.ts';
import { RENDEZVOUS_PROTOCOL } from '../protocols/rendezvous/protocol.ts';
import { loadOrCreateIdentity } from '../protocols/transport/identity-file.ts';
import type { BootstrapConfig, Ready } from './config.ts';
import { createHost } from './host.ts';
import type { Host } from './host.ts';
import { bootstrapHttp, listenHttp } from './http.ts';
import {
  MAX_DISCOVERIES,
  MAX_STORE_QUEUE,
  PHONEBOOK_INBOUND_STREAMS,
  RENDEZVOUS_INBOUND_STREAMS,
  REGISTRATIONS_PER_ADDRESS,
  RENDEZVOUS_REQUESTS_PER_ADDRESS,
  RENDEZVOUS_REQUESTS_PER_MINUTE,
  STOP_LIBP2P_MS,
} from './limits.ts';
import { mailboxBlockLimits } from './mailbox-block-limits.ts';
import { mailboxBlockDecisions } from './mailbox-blocks.ts';
import { mailboxLimits } from './mailbox-limits.ts';
import { mailbox } from './mailbox.ts';
import { registerMetrics } from './metrics.ts';
import { peerGroups } from './peer-groups.ts';
import { phonebook } from './phonebook.ts';
import { prekeyLimits } from './prekey-limits.ts';
import { prekeys } from './prekeys.ts';
import { rendezvousDecisions } from './rendezvous.ts';
import { storeHealth } from './store-health.ts';
import type { BootstrapOperations, BootstrapStoreInit } from './store-worker.ts';

const STORE_FILE = 'bootstrap.db';

export interface RunOptions {
  /** Stops the node. */
  signal: AbortSignal;
  /** Told once when the node serves. */
  onReady: (ready: Ready) => void;
}

/**
 * A bootstrap node: phonebook, rendezvous point, mailboxes, relay and DHT server, with its HTTP endpoints. Resolves
 * after a clean stop, within 3 s of the signal.
 *
 * @throws StoreError (`held` when another process has the data directory, `internal` when the store breaks down later),
 *   IdentityFileError, ListenError, or an error that names the setting at fault; nothing is left running then
 */
export async function runBootstrap(config: BootstrapConfig, { signal, onReady }: RunOptions): Promise<void> {
  if (signal.aborted) return;
  await using stack = new AsyncDisposableStack();
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ dest: 2, sync: true }));
  const nowMs = Date.now;

  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const store = stack.use(await openStore(config));
  const privateKey = await loadOrCreateIdentity(join(config.dataDir, 'identity.key'));
  const registry = new Registry();
  const { host, start } = await createHost({ config, privateKey, registry, log });
  stack.defer(() => stopHost(host, log));

  const groupOf = peerGroups(host);
  const serving = new AbortController();
  stack.defer(() => serving.abort(new Error('the bootstrap node is stopping')));
  const streams = { signal: serving.signal };
  const health = storeHealth({
    dataDir: config.dataDir,
    probe: () => store.call('store.probe', null),
    onTrouble: (trouble, error) => log.error({ err: error }, trouble),
    onRecovered: () => log.info('the store can be written again'),
  });
  store.onFailure = health.failed;
  const onError = (error: Error): void => {
    if (!health.failed(error)) log.error({ err: error }, 'a request failed');
  };

  const rendezvous = rendezvousDecisions({
    store,
    maxStoreQueue: MAX_STORE_QUEUE,
    maxDiscoveries: MAX_DISCOVERIES,
    requestsPerMinute: RENDEZVOUS_REQUESTS_PER_MINUTE,
    requestsPerAddress: RENDEZVOUS_REQUESTS_PER_ADDRESS,
    registrationsPerAddress: REGISTRATIONS_PER_ADDRESS,
    groupOf,
    now: nowMs,
  });
  await host.handle(RENDEZVOUS_PROTOCOL, rendezvousHandler(rendezvous, { ...streams, onError }), {
    maxInboundStreams: RENDEZVOUS_INBOUND_STREAMS,
    runOnLimitedConnection: true,
  });

  const names = phonebook({ store, privateKey, nowMs, groupOf });
  host.addEventListener('peer:disconnect', ({ detail }) => names.disconnected(detail.toString()));
  await host.handle(PHONEBOOK_PROTOCOL, phonebookHandler({ ...streams, decisions: names.decisions, nowMs }), {
    maxInboundStreams: PHONEBOOK_INBOUND_STREAMS,
    runOnLimitedConnection: true,
  });

  const mail = mailbox({ store, limits: mailboxLimits(config), nowMs, groupOf, onStoreError: onError });
  stack.defer(() => mail.stop());
  const keys = prekeys({ store, limits: prekeyLimits(config), nowMs, groupOf, onStoreError: onError });
  stack.defer(() => keys.stop());
  const blocks = mailboxBlockDecisions({
    store,
    limits: mailboxBlockLimits(config),
    nowMs,
    groupOf,
    onStoreError: onError,
  });
  const mailStreams = mailboxHandler(mail, {
    ...streams,
    prekeys: keys.decisions,
    depositors: blocks.decisions,
  });
  await host.handle(MAILBOX_PROTOCOL, mailStreams, MAILBOX_STREAMS);
  mail.start();
  keys.start();
  await start();

  registerMetrics(registry, {
    connectedPeers: () => host.getPeers().length,
    relayReservations: () => host.services.relay.reservations.size,
    registrations: () => store.call('registrations.count', { nowMs: nowMs() }),
    phonebook: () => names.counts(),
    mailboxTotals: () => store.call('mailbox.totals', null),
    mailbox: () => mail.counts(),
    blockRequests: () => blocks.counts(),
    prekeyBytes: async () => (await store.call('prekeys.totals', null)).bytes,
    prekeys: () => keys.counts(),
    storeQueue: () => store.waiting,
    storeBytes: () => fileBytes(join(config.dataDir, STORE_FILE)),
  });
  const http = bootstrapHttp({
    phonebook: names.lookups,
    metrics: registry,
    notReady: async () => (store.waiting >= MAX_STORE_QUEUE ? 'the store is behind' : health.trouble()),
    onError,
  });
  stack.defer(() => http.close());
  const url = await listenHttp(http, config.http);

  if (signal.aborted) return;
  const ready: Ready = {
    peerId: host.peerId.toString(),
    multiaddrs: host.getMultiaddrs().map(String),
    http: url,
  };
  log.info(ready, 'ready');
  onReady(ready);
  const told = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  // Without its store it could only turn everybody away: better to end, and be started again.
  const broken = await Promise.race([told, store.brokenDown]);
  if (broken !== undefined) throw broken;
  log.info('stopping');
}

async function openStore(config: BootstrapConfig): Promise<StoreClient<BootstrapOperations>> {
  const init: BootstrapStoreInit = {
    file: join(config.dataDir, STORE_FILE),
    mailboxLimits: mailboxLimits(config),
    mailboxBlockLimits: mailboxBlockLimits(config),
    prekeyLimits: prekeyLimits(config),
  };
  try {
    return await StoreClient.open<BootstrapOperations>(import.meta, './store-worker', init);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code !== 'held') throw error;
    const message = `another process uses ${config.dataDir}; stop it or choose another data directory`;
    throw new StoreError(message, error.code, { cause: error });
  }
}

/** The database with its write-ahead log. */
async function fileBytes(file: string): Promise<number> {
  const sizes = await Promise.all([file, `${file}-wal`].map(async (path) => (await stat(path)).size));
  return sizes.reduce((total, size) => total + size, 0);
}

async function stopHost(host: Host, log: Logger): Promise<void> {
  const late = Symbol('late');
  const first = await Promise.race([host.stop(), delay(STOP_LIBP2P_MS, late, { ref: false })]);
  if (first === late) log.warn('libp2p did not stop in time; its connections are dropped');
}
