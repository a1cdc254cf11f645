import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { FaultTolerance } from '@libp2p/interface';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { Libp2pInit } from 'libp2p';
import { recordStore } from '../dht/record-store.ts';
import { admission } from './admission.ts';
import { checkListenAddress, parseMultiaddr } from './addresses.ts';
import { STREAM_LIMITS } from './limits.ts';
import type { TransportLimits } from './limits.ts';
import type { ListenError } from './listen-errors.ts';
import { guardedMuxer } from './muxer-guard.ts';
import { detachedTcp } from './tcp.ts';
import { economiseWindowUpdates } from './window-updates.ts';

export interface Libp2pBaseInit {
  privateKey: PrivateKey;
  /** Multiaddrs to listen on. */
  listen: string[];
  /** Multiaddrs to announce instead of those found out; empty for those found out. */
  announce: string[];
  limits: TransportLimits;
  /**
   * Told of every TCP address that could not be listened on, before `createLibp2p` resolves: libp2p goes on without it,
   * so that a refused relay reservation stops nobody. See `fatalListenError`.
   */
  onListenError: (error: ListenError) => void;
}

/**
 * What every Tincan node's libp2p has in common: TCP, Noise and yamux, with every limit set.
 *
 * @example
 * ```ts
 * const errors: ListenError[] = []
 * const node = await createLibp2p({
 *   ...libp2pBase({ privateKey, listen, announce, limits: DAEMON_LIMITS, onListenError: (error) => errors.push(error) }),
 *   services: { … },
 * })
 * const fatal = fatalListenError(errors, listen.length)
 * ```
 *
 * @throws InvalidParametersError for an address that is none
 */
export function libp2pBase({ privateKey, listen, announce, limits, onListenError }: Libp2pBaseInit) {
  economiseWindowUpdates();
  listen.forEach(checkListenAddress);
  for (const address of announce) parseMultiaddr('announce', address);
  const own = `/peers/${peerIdFromPrivateKey(privateKey).toCID().toString()}`;
  return {
    privateKey,
    addresses: { listen, announce },
    transports: [
      detachedTcp(
        {
          // Beyond libp2p's own limit, so that it is libp2p that refuses, and counts it.
          maxConnections: limits.maxConnections + limits.maxPendingInbound,
          backlog: limits.maxPendingInbound,
          inboundSocketInactivityTimeout: limits.inactivityTimeoutMs,
          outboundSocketInactivityTimeout: limits.inactivityTimeoutMs,
        },
        { admission: admission(limits, { nowMs: () => performance.now() }), onListenError },
      ),
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [
      guardedMuxer(
        yamux({
          enableKeepAlive: true,
          keepAliveInterval: limits.keepAliveIntervalMs,
          maxInboundStreams: limits.maxInboundStreams,
          maxOutboundStreams: limits.maxOutboundStreams,
          streamOptions: {
            initialStreamWindowSize: STREAM_LIMITS.initialWindowBytes,
            maxStreamWindowSize: STREAM_LIMITS.maxWindowBytes,
            maxReadBufferLength: STREAM_LIMITS.maxReadBufferBytes,
            maxWriteBufferLength: STREAM_LIMITS.maxWriteBufferBytes,
          },
        }),
      ),
    ],
    // Whoever makes up peers would fill the memory otherwise: they are kept for hours. What a node says of itself is there too.
    datastore: recordStore(limits.peerStoreBytes, (key) => key === own),
    transportManager: { faultTolerance: FaultTolerance.NO_FATAL },
    connectionManager: {
      maxConnections: limits.maxConnections,
      inboundConnectionThreshold: limits.inboundConnectionsPerSecond,
      // Beyond the limit that `admission` keeps: one that was told to make room takes a moment to go.
      maxIncomingPendingConnections: 2 * limits.maxPendingInbound,
      inboundUpgradeTimeout: limits.handshakeTimeoutMs,
      maxParallelDials: limits.maxParallelDials,
      maxDialQueueLength: limits.maxDialQueue,
    },
    connectionMonitor:
      limits.pingIntervalMs === null
        ? { enabled: false }
        : { enabled: true, pingInterval: limits.pingIntervalMs, abortConnectionOnPingFailure: true },
  } satisfies Libp2pInit;
}
