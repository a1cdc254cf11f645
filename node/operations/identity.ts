import type { ControlOperations, OperationResult, StatusView } from '../../protocols/control/contract.ts';
import { DHT_PROTOCOL } from '../../protocols/dht/service.ts';
import { describeChange } from '../pinned-names.ts';
import { isoOrNull } from './daemon.ts';
import type { Daemon } from './daemon.ts';

/** A status with more would not be read; they come up again when the first are decided. */
const MAX_CHANGES_SHOWN = 20;

/** Who this daemon is and how it is doing. */
export function identityOperations(
  daemon: Daemon,
): Pick<ControlOperations, 'status' | 'identity' | 'claimName' | 'releaseName'> {
  const { config, directory, host, links, ownName, self, store } = daemon;

  const multiaddrs = (): string[] => host.getMultiaddrs().map(String);

  const identity = (): OperationResult<'identity'> => ({
    peerId: self,
    name: ownName.name,
    certificates: ownName.certificates.map(({ certificate }) => ({
      phonebook: certificate.phonebook,
      seq: certificate.seq,
      expiresAt: new Date(certificate.expiresMs).toISOString(),
    })),
    multiaddrs: multiaddrs(),
  });

  return {
    async status(): Promise<StatusView> {
      const summary = await store.call('history.summary', undefined);
      const dhtPeers = await host.peerStore.all({
        filters: [({ protocols }) => protocols.includes(DHT_PROTOCOL)],
      });
      return {
        peerId: self,
        name: ownName.name,
        version: daemon.version,
        startedAt: new Date(daemon.startedMs).toISOString(),
        dataDir: config.dataDir,
        multiaddrs: multiaddrs(),
        bootstrap: links.map(({ address, peerId, status }) => ({
          multiaddr: address.toString(),
          peerId: peerId.toString(),
          state: status.state,
          detail: status.detail,
          lastSeenAt: isoOrNull(status.lastSeenMs),
        })),
        dht: { mode: host.services.dht.getMode(), peers: dhtPeers.length },
        connections: host.getPeers().length,
        outbox: { messages: summary.undelivered, oldestAt: isoOrNull(summary.oldestMs) },
        unread: summary.unread,
        requests: daemon.acquaintances.requests.length,
        warnings: [...directory.changes.slice(0, MAX_CHANGES_SHOWN).map(describeChange), ...daemon.warnings],
      };
    },

    identity,

    async claimName({ name }) {
      await ownName.claim(name);
      return identity();
    },

    async releaseName() {
      await ownName.release();
      return identity();
    },
  };
}
