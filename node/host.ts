import { identify } from '@libp2p/identify';
import type { ComponentLogger, Connection, Libp2p, PrivateKey } from '@libp2p/interface';
import { ping } from '@libp2p/ping';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { isPrivate } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { tincanDht } from '../protocols/dht/service.ts';
import { libp2pBase } from '../protocols/transport/base.ts';
import { DAEMON_LIMITS } from '../protocols/transport/limits.ts';
import { fatalListenError } from '../protocols/transport/listen-errors.ts';
import type { ListenError } from '../protocols/transport/listen-errors.ts';
import type { DaemonConfig } from './config.ts';

/** The daemon's libp2p node. */
export type Host = Awaited<ReturnType<typeof createHost>>;

/** Whether every bootstrap node is on the same private network as we are: then all daemons can serve the DHT. */
export function isPrivateNetwork({ bootstrap }: Pick<DaemonConfig, 'bootstrap'>): boolean {
  return bootstrap.every((address) => isPrivate(multiaddr(address)));
}

export interface HostInit {
  config: Pick<DaemonConfig, 'listen' | 'announce' | 'dht' | 'bootstrap'>;
  privateKey: PrivateKey;
  logger: ComponentLogger;
  nowMs: () => number;
}

/**
 * Starts libp2p: TCP, Noise, yamux, identify, ping and the DHT.
 *
 * @throws ListenError when an address can't be listened on
 */
export async function createHost({ config, privateKey, logger, nowMs }: HostInit) {
  const privateNetwork = isPrivateNetwork(config);
  const errors: ListenError[] = [];
  const base = libp2pBase({
    privateKey,
    listen: config.listen,
    announce: config.announce,
    limits: DAEMON_LIMITS,
    onListenError: (error) => errors.push(error),
  });
  const node = await createLibp2p({
    ...base,
    logger,
    services: {
      identify: identify(),
      // One stream each way, the default, refuses a user's ping while the DHT or the connection monitor has one open.
      ping: ping({ maxInboundStreams: 4, maxOutboundStreams: 8 }),
      dht: tincanDht({
        clientMode: config.dht === 'auto' ? !privateNetwork : config.dht === 'client',
        privateNetwork,
        nowMs,
      }),
    },
  });
  const fatal = fatalListenError(errors, config.listen.length);
  if (fatal !== undefined) {
    await node.stop();
    throw fatal;
  }
  return node;
}

/** What libp2p calls limited is relayed. */
export function kindOf(connection: Connection): 'direct' | 'relayed' {
  return connection.limits === undefined ? 'direct' : 'relayed';
}

/** How we are connected to a peer, the better way if there are two. */
export function connectedTo(
  node: Pick<Libp2p, 'getConnections'>,
  peer: Connection['remotePeer'],
): 'direct' | 'relayed' | null {
  const kinds = node.getConnections(peer).map(kindOf);
  return kinds.includes('direct') ? 'direct' : (kinds[0] ?? null);
}

/** This node's addresses under its signature, as rendezvous points and phonebooks want them. */
export async function signedPeerRecord(
  node: Pick<Libp2p, 'getMultiaddrs'>,
  privateKey: PrivateKey,
): Promise<Uint8Array> {
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(privateKey),
    multiaddrs: node.getMultiaddrs(),
  });
  return (await RecordEnvelope.seal(record, privateKey)).marshal();
}
