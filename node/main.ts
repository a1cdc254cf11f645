import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PeerId } from '@libp2p/interface';
import { depositorsClient } from '../protocols/mailbox/depositors-client.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import { keepConnectionRoom } from '../protocols/transport/connection-room.ts';
import { libp2pLogger } from '../protocols/transport/libp2p-logger.ts';
import { DAEMON_LIMITS } from '../protocols/transport/limits.ts';
import { acquaintances as openAcquaintances } from './acquaintances.ts';
import { controlServer } from './api/server.ts';
import type { AskPassphrase } from './at-rest/key-file.ts';
import { sealedIdentity } from './at-rest/sealed-identity.ts';
import { backupMaker, clearCopies } from './backup/making.ts';
import { describeRestore } from './backup/restored-store.ts';
import { addressesByNode, bootstrapLink, bootstrapPeerId } from './bootstrap-link.ts';
import type { BootstrapLink } from './bootstrap-link.ts';
import { chatService } from './chat-service.ts';
import type { DaemonConfig, Ready } from './config.ts';
import { controlFiles } from './control-files.ts';
import { openDaemonStore } from './daemon-store.ts';
import type { KeySource } from './daemon-store.ts';
import { delivery as createDelivery } from './delivery/delivery.ts';
import type { Delivery } from './delivery/delivery.ts';
import { deliveryEvents } from './delivery-events.ts';
import { dhtRecords } from './dht-records.ts';
import { directory as createDirectory } from './directory.ts';
import { eventLog } from './event-log.ts';
import { createHost, signedPeerRecord } from './host.ts';
import { keepInTouch } from './keep-in-touch.ts';
import { lockOperations, whileLocked } from './locked.ts';
import { daemonLog, partLog } from './logs.ts';
import { mailboxBlocks } from './mailbox-blocks.ts';
import type { ToldMailbox } from './mailbox-blocks.ts';
import { mailboxIntake } from './mailbox-intake.ts';
import { mailboxes as createMailboxes } from './mailboxes.ts';
import { messageView } from './message-view.ts';
import type { NamesForViews } from './message-view.ts';
import { backupOperations } from './operations/backup.ts';
import type { Daemon } from './operations/daemon.ts';
import { identityOperations } from './operations/identity.ts';
import { messageOperations } from './operations/messages.ts';
import { requestOperations } from './operations/requests.ts';
import { peopleOperations } from './operations/people.ts';
import { searchOperations } from './operations/search.ts';
import { sendBatch } from './operations/send-batch.ts';
import { trustOperations } from './operations/trust.ts';
import { ownCard } from './own-card.ts';
import { ownName as createOwnName } from './own-name.ts';
import { prekeyExchange } from './prekey-exchange.ts';
import { prekeyUpkeep } from './prekey-upkeep.ts';
import type { OwnMailbox } from './prekey-upkeep.ts';
import { reach as createReach } from './reach.ts';
import { openMessageIndex } from './search/message-index.ts';
import { searchService } from './search/search.ts';
import { storeWarnings } from './store-warnings.ts';
import { warningList } from './warnings.ts';

export interface RunOptions {
  /** Stops the daemon. */
  signal: AbortSignal;
  /** Called once, when everything answers. */
  onReady: (ready: Ready) => void;
  /** Asked before anything else happens in the data directory. */
  askPassphrase: AskPassphrase;
  version: string;
}

/**
 * Runs a daemon until the signal fires, also through times in which it is locked: identity and store in the data directory, a libp2p node, links to the bootstrap
 * nodes, delivery, and the API for clients.
 *
 * @throws StoreError `held` when another process has the data directory, `corrupt` when the store is damaged, `internal` with a
 * DataKeyError as its cause when the store can't be opened with the key there is or the passphrase that was given
 * @throws ListenError, ControlError, SyntaxError for what is wrong with the configuration or the machine
 */
export async function runDaemon(config: DaemonConfig, options: RunOptions): Promise<void> {
  const logger = daemonLog(config.logLevel);
  let run: UnlockedOptions = { ...options, key: options.askPassphrase };
  while ((await runUnlocked(config, logger, run)) === 'locked') {
    const key = await whileLocked({ config, logger, version: run.version }, options);
    if (key === null) return;
    run = { ...options, onReady: () => undefined, key };
  }
}

interface UnlockedOptions extends Omit<RunOptions, 'askPassphrase'> {
  key: KeySource;
}

/** Runs until the daemon is told to stop, or to lock itself; then nothing of it is left. */
async function runUnlocked(
  config: DaemonConfig,
  log: ReturnType<typeof daemonLog>,
  { signal, onReady, key, version }: UnlockedOptions,
): Promise<'stopped' | 'locked'> {
  const nowMs = Date.now;
  const random = Math.random;
  const nodes = addressesByNode(config.bootstrap);

  await using stack = new AsyncDisposableStack();
  const stopping = new AbortController();
  const locking = new AbortController();
  const running = AbortSignal.any([signal, stopping.signal]);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const storeTrouble = storeWarnings(config.dataDir);
  const opened = await openDaemonStore(config.dataDir, key, storeTrouble.failed);
  const { store, sealer } = opened;
  stack.use(store);
  clearCopies(config.dataDir);
  const backups = backupMaker({ dataDir: config.dataDir, database: opened.database, sealer, nowMs });
  stack.defer(() => backups.ended());
  store.onFailure = storeTrouble.failed;
  const index = stack.use(openMessageIndex());
  const privateKey = await sealedIdentity(join(config.dataDir, 'identity.key'), sealer);
  const host = await createHost({ config, privateKey, logger: libp2pLogger(log), nowMs });
  stack.defer(() => host.stop());
  stack.defer(() => stopping.abort());
  const self = host.peerId.toString();

  const links: BootstrapLink[] = [];
  const connectedLinks = (): BootstrapLink[] => links.filter(({ status }) => status.state === 'connected');
  const mailboxOf = ({ peerId, prekeys }: BootstrapLink): OwnMailbox => ({
    peerId: peerId.toString(),
    prekeys,
  });
  const names: NamesForViews = {
    self,
    ownName: () => ownName.name,
    nameOf: (peer) => directory.nameOf(peer),
  };
  const events = eventLog({
    nowRow: await store.call('history.newest-row', undefined),
    messagesAfter: async (row, limit) =>
      (await store.call('history.after', { row, limit })).map((message) => ({
        row: message.row,
        message: messageView(message, names),
      })),
  });
  const warnings = warningList((message) => {
    log.warn(message);
    events.append({ type: 'warning', message });
  });
  storeTrouble.tell(warnings.add);
  if (opened.restoredMs !== undefined) warnings.add(describeRestore(opened.restoredMs));

  const card = ownCard({
    privateKey,
    store,
    nowMs,
    name: () => ownName.name,
    mailboxes: () =>
      links.map(({ peerId, address }) => ({
        peerId: peerId.toString(),
        multiaddrs: [address.toString().replace(/\/p2p\/[^/]+$/, '')],
      })),
  });
  const ownName = await createOwnName({
    store,
    privateKey,
    nowMs,
    links: () => links,
    presence: async () => ({
      peerRecord: await signedPeerRecord(host, privateKey),
      contactCard: await card.current(),
      listed: !config.unlisted,
    }),
    onChange() {
      dht.changed();
      for (const link of links) link.refresh();
      if (ownName.name === toldName) return;
      toldName = ownName.name;
      delivery.greetAnew();
    },
    configured: config.name,
    phonebooks: nodes.map(([address]) => bootstrapPeerId(address!).toString()),
    signal: running,
  });
  let toldName = ownName.name;
  const dht = dhtRecords({
    host,
    nowMs,
    log: partLog(log, 'dht'),
    random,
    signal: running,
    own: async () => ({ card: await card.current(), certificates: ownName.certificates }),
  });
  const directory = await createDirectory({
    store,
    links: () => links,
    dht,
    nowMs,
    accept: (peer, petname) => known.accept(peer, petname),
    isShutOut: (peer) => known.isBlocked(peer),
    onAddresses: (peer, addresses) => reach.addAddresses(peer, addresses),
    onWarning: warnings.add,
    // No warning of the list: it goes when the user has decided.
    onKeyChange(change, message) {
      log.warn(message);
      events.append({ type: 'warning', message });
      events.append({ type: 'contact', peerId: change.known, change: 'changed' });
    },
  });
  const isContact = (peerId: string): boolean => directory.contacts.some(({ peer }) => peer === peerId);
  const known = await openAcquaintances({
    store,
    privateKey,
    nowMs,
    log: partLog(log, 'delivery'),
    signal: running,
    delivery: () => delivery,
    contacts: () => directory.contacts.map(({ peer }) => peer),
    async onContact(peerId) {
      const change = isContact(peerId) ? 'changed' : 'added';
      await directory.contactAdded(peerId);
      events.append({ type: 'contact', peerId, change });
      touch.met(peerId);
    },
    onRequest(peerId, change) {
      touch.met(peerId);
      events.append({ type: 'request', peerId, name: directory.certifiedName(peerId), change });
    },
    onWaiting(peerId, waiting) {
      events.append({ type: 'contact', peerId, change: 'changed', waiting });
    },
    onBlock(peerId) {
      events.append({ type: 'contact', peerId, change: 'changed' });
      if (known.isBlocked(peerId)) chats.close(peerId);
      for (const link of connectedLinks()) tellBlocks(toldMailbox(link));
    },
  });
  const tellBlocks = mailboxBlocks({
    acquaintances: known,
    log: partLog(log, 'mailbox'),
    sleep: (ms, options) => delay(ms, undefined, options),
    signal: running,
  });
  const toldMailbox = (link: BootstrapLink): ToldMailbox => ({
    peerId: link.peerId,
    isConnected: () => link.status.state === 'connected',
    depositors: depositorsClient({
      async openStream(options) {
        const connection = await host.dial(link.peerId, options);
        return connection.newStream(MAILBOX_PROTOCOL, options);
      },
    }),
  });
  const isFriend = (peerId: string): boolean => isContact(peerId) && !known.isBlocked(peerId);
  keepConnectionRoom(host, {
    maxConnections: DAEMON_LIMITS.maxConnections,
    isKept: (peerId) => isFriend(peerId.toString()),
    nowMs,
  });
  const reach = createReach({
    host,
    askPhonebooks: directory.askPhonebooks,
    decisions: () => delivery.decisions,
    onSilence() {
      for (const link of connectedLinks()) {
        link.verify().catch((error: unknown) => log.debug({ err: error }, 'a bootstrap node was not asked'));
      }
    },
    log: partLog(log, 'reach'),
  });
  const mailboxes = createMailboxes({
    host,
    store,
    privateKey,
    nowMs,
    log: partLog(log, 'mailbox'),
    signal: running,
    mailboxesOf: directory.mailboxesOf,
    capabilityFrom: (peer) => known.capabilityFrom(peer),
    verify: reach.verify,
  });
  const upkeep = prekeyUpkeep({
    store,
    privateKey,
    mailboxes: () => connectedLinks().map(mailboxOf),
    nowMs,
    random,
    sleep: (ms, options) => delay(ms, undefined, options),
    log: partLog(log, 'mailbox'),
    signal: running,
  });
  const delivery: Delivery = createDelivery({
    store,
    acquaintances: known,
    ways: {
      openChat: (peer, options) => known.opening(peer, () => reach.openChat(peer, options)),
      deposit: mailboxes.deposit,
      verify: reach.verify,
    },
    sessions: mailboxes.sessions,
    prekeys: prekeyExchange({
      store,
      privateKey,
      isContact: isFriend,
      nowMs,
      log: partLog(log, 'delivery'),
    }),
    log: partLog(log, 'delivery'),
    now: nowMs,
    random,
    signal: running,
    hello: () => ({ features: [], contactCard: card.latest, nameCertificate: ownName.certificate }),
    greeted(peer, { contactCard, nameCertificate }): void {
      directory.learn(peer, { card: contactCard, certificate: nameCertificate }).catch((error: unknown) => {
        log.debug({ peer, reason: (error as Error).message }, 'papers of a peer were not kept');
      });
    },
    ...deliveryEvents({
      events,
      names,
      met(peer) {
        touch.met(peer);
        search.committed();
      },
    }),
  });

  const search = searchService({ store, index, log: partLog(log, 'search'), signal: running });
  const touch = keepInTouch({
    host,
    store,
    directory: {
      get contacts() {
        return directory.contacts.filter(({ peer }) => !known.isBlocked(peer));
      },
    },
    reach,
    delivery,
    log: partLog(log, 'reach'),
    signal: running,
  });
  const onBlobs = mailboxIntake({
    store,
    self: host.peerId,
    nowMs,
    log: partLog(log, 'mailbox'),
    delivery,
    onPrekey: upkeep.used,
  });
  for (const addresses of nodes) {
    links.push(
      bootstrapLink({
        addresses,
        host,
        privateKey,
        unlisted: config.unlisted,
        log: partLog(log, 'bootstrap'),
        nowMs,
        random,
        signal: running,
        contactCard: card.current,
        claimName: ownName.claimAt,
        onBlobs,
        onConnected(link) {
          void upkeep.check(mailboxOf(link));
          tellBlocks(toldMailbox(link));
          dht.peersChanged();
          delivery.networkChanged();
          known.askAgain();
        },
      }),
    );
  }
  await card.current();

  const chats = await chatService({
    host,
    decisions: delivery.decisions,
    isFriend,
    isBlocked: known.isBlocked,
    log,
    signal: running,
  });
  stack.defer(async () => {
    stopping.abort();
    await chats.ended();
  });
  const onPeer = (kind: 'connect' | 'disconnect') => (event: CustomEvent<PeerId>) => {
    const peerId = event.detail.toString();
    if (links.some((link) => link.peerId.equals(event.detail))) return;
    const connected = kind === 'connect' ? 'direct' : null;
    events.append({ type: 'peer', peerId, connected });
    if (kind === 'connect') {
      dht.peersChanged();
      if (known.keepsUsWaiting(peerId)) delivery.greet(peerId);
      delivery
        .present(peerId)
        .catch((error: unknown) => log.debug({ err: error }, 'presence was not taken up'));
    }
  };
  host.addEventListener('peer:connect', onPeer('connect'));
  host.addEventListener('peer:disconnect', onPeer('disconnect'));

  const daemon: Daemon = {
    config,
    version,
    self,
    startedMs: nowMs(),
    nowMs,
    host,
    store,
    links,
    directory,
    acquaintances: known,
    ownName,
    delivery,
    reach,
    touch,
    search,
    events,
    names,
    warnings: warnings.list,
  };
  const files = await controlFiles(config.dataDir);
  const server = controlServer({
    operations: {
      ...identityOperations(daemon),
      ...peopleOperations(daemon),
      ...trustOperations(daemon),
      ...requestOperations(daemon),
      ...messageOperations(daemon),
      ...searchOperations(daemon),
      ...backupOperations(backups, running),
      // The answer goes out first.
      ...lockOperations(config.dataDir, () => setImmediate(() => locking.abort())),
    },
    events,
    sendStream: sendBatch({
      delivery,
      directory: { known: directory.knownRecipient, resolve: directory.recipient },
      self,
    }),
    socketPath: files.socketPath,
    http: config.http,
    token: files.token,
    logger: log,
    version,
  });
  await server.start({ signal: running });
  stack.defer(() => server.stop());
  await files.announce(server.url);
  stack.defer(() => files.withdraw());

  const background = [
    ...links.map((link) => link.run()),
    known.run(),
    dht.run(),
    touch.run(),
    upkeep.run(),
    search.run(),
  ].map((part) =>
    part.catch((error: unknown) => log.error({ err: error }, 'a part of the daemon has stopped')),
  );
  stack.defer(async () => {
    stopping.abort();
    await Promise.all(background);
  });
  await delivery.start();
  onReady({ peerId: self, multiaddrs: host.getMultiaddrs().map(String), http: server.url });
  const over = AbortSignal.any([signal, locking.signal]);
  await new Promise<void>((resolve) => {
    if (over.aborted) resolve();
    else over.addEventListener('abort', () => resolve(), { once: true });
  });
  log.info({ links: connectedLinks().length }, 'stopping');
  return signal.aborted ? 'stopped' : 'locked';
}
