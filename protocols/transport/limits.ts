/**
 * The bounds of a libp2p node. Every default of js-libp2p 3.3 that chokes a hub, or several nodes on one host, or that is
 * no bound at all, is set here, with its reason.
 */
export interface TransportLimits {
  /** Open connections at the most; js-libp2p prunes the newest beyond it. Default there: 300. */
  maxConnections: number;
  /** New inbound connections a second from one IP address; more are refused. Default there: 5. */
  inboundConnectionsPerSecond: number;
  /** Open inbound connections from one address group (`addressGroup`); more are refused. No bound there. */
  maxConnectionsPerAddress: number;
  /** New inbound connections a second from all together, each a few milliseconds of cryptography; more are refused. */
  handshakesPerSecond: number;
  /** Inbound connections that may be in their handshake at once; more are refused. Default there: 10. */
  maxPendingInbound: number;
  /** Handshakes of one address group under way; more are refused, so that the others have places left. No bound there. */
  maxPendingPerAddress: number;
  /** A handshake that has taken this long makes room for others when there are too many. */
  handshakeGraceMs: number;
  /** A handshake that has taken this long is given up. Default there: 10 s. */
  handshakeTimeoutMs: number;
  /** Bytes kept of the peers that were met: their addresses and protocols. No bound there. */
  peerStoreBytes: number;
  /** Dials under way at once. Default there: 100. */
  maxParallelDials: number;
  /** Dials waiting for their turn; more are refused. Default there: 500. */
  maxDialQueue: number;
  /** Streams the other side may have open on one connection, over all protocols. Default there: 1,000. */
  maxInboundStreams: number;
  /** Streams we may have open on one connection. Default there: 1,000. */
  maxOutboundStreams: number;
  /** How often yamux pings a connection. Keeps it open in NATs, and the dead ones silent. Default there: 30 s. */
  keepAliveIntervalMs: number;
  /** A connection over which nothing has come or gone for this long is dead. Default there: 2 min. */
  inactivityTimeoutMs: number;
  /** How often the connection monitor opens a ping stream on every connection; null never. Default there: 10 s. */
  pingIntervalMs: number | null;
}

/** Two round trips and the work of a busy machine take less, but for the slowest of networks; it matters only in a flood. */
const HANDSHAKE_GRACE_MS = 2_000;

/** A satellite link at its worst. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** What one stream may hold in memory. The same everywhere. */
export const STREAM_LIMITS = {
  /** Where a stream's receive window begins: yamux allows no less. */
  initialWindowBytes: 256 * 1024,
  /**
   * Where it may grow to: 100 Mbit/s at 80 ms. The default, 16 MiB, is more than the read buffer below would take, so
   * that pausing a fast stream reset it.
   */
  maxWindowBytes: 1024 * 1024,
  /** Unread bytes before the stream is reset: a full window, and once more while the pause is on its way. */
  maxReadBufferBytes: 2 * 1024 * 1024,
  /**
   * Unsent bytes before the stream is reset. The default is infinite. Our own writers wait for `drain` long before; this
   * is for libp2p's (a relayed stream into a stalled peer).
   */
  maxWriteBufferBytes: 4 * 1024 * 1024,
} as const;

/** What the other side of a connection may ask of the multiplexer; beyond it, the connection is cut. The same everywhere. */
export const GUARD_LIMITS = {
  /** Streams opened. A daemon that comes back looks up all its contacts, a stream each; the benchmarks take 300 a second. */
  streams: { burst: 2_000, perSecond: 500 },
  /** Pings answered. Our own nodes send one in 30 s, others one a second at the most. */
  pings: { burst: 60, perSecond: 5 },
  /** What a stream costs before its protocol has been agreed on, measured. */
  streamCostMs: 0.3,
  /** What is made of a byte after it was read, where nobody counts the time: a chat message of 200 bytes, some 6 us. */
  byteCostMs: 30 / (1024 * 1024),
  /** Bytes handed on between two looks at whether it is enough: a millisecond or two of the smallest frames. */
  partBytes: 16 * 1024,
  /**
   * Bytes that wait to be written, over all connections; then the one with the most is cut. A connection that is read from
   * has its window of 1 MiB waiting at the most, and hardly ever.
   */
  maxBacklogBytes: 128 * 1024 * 1024,
} as const;

/** A person's daemon: some friends, a few bootstrap nodes, the DHT's buckets. */
export const DAEMON_LIMITS: TransportLimits = {
  maxConnections: 500,
  // Several daemons behind one NAT, or a test's on one host, reconnect together.
  inboundConnectionsPerSecond: 50,
  // Half of all: the daemons of a household or of a test are one address, and there is room for others beside them.
  maxConnectionsPerAddress: 250,
  // A quarter of a core.
  handshakesPerSecond: 100,
  maxPendingInbound: 100,
  maxPendingPerAddress: 50,
  handshakeGraceMs: HANDSHAKE_GRACE_MS,
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  // Some thousand peers.
  peerStoreBytes: 8 * 1024 * 1024,
  maxParallelDials: 50,
  maxDialQueue: 500,
  // A friend needs about ten; the DHT and the relay the rest. Each may hold a receive window.
  maxInboundStreams: 256,
  maxOutboundStreams: 256,
  // Many home routers forget a silent TCP connection after a minute or more.
  keepAliveIntervalMs: 30_000,
  inactivityTimeoutMs: 120_000,
  pingIntervalMs: 60_000,
};

/** A bootstrap node: thousands of connections, each nearly idle. */
export const HUB_LIMITS: TransportLimits = {
  maxConnections: 4_000,
  // A campus behind one address coming back after an outage: a thousand in ten seconds.
  inboundConnectionsPerSecond: 100,
  // Half of the default: a campus of two thousand behind one address, and as many others.
  maxConnectionsPerAddress: 2_048,
  // Half a core: the other half is for who is there already.
  handshakesPerSecond: 200,
  // Half a second's worth of handshakes on one core; the others try again.
  maxPendingInbound: 500,
  // More than a second's worth of new connections of one address.
  maxPendingPerAddress: 250,
  handshakeGraceMs: HANDSHAKE_GRACE_MS,
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  // Four times as many peers as it has connections by default.
  peerStoreBytes: 48 * 1024 * 1024,
  maxParallelDials: 50,
  maxDialQueue: 500,
  maxInboundStreams: 256,
  // A relayed connection needs one towards the peer that is reached.
  maxOutboundStreams: 512,
  // The daemons ping every 30 s already; ours only measures the round trip, which sets the receive windows.
  keepAliveIntervalMs: 60_000,
  inactivityTimeoutMs: 120_000,
  // A burst of thousands of ping streams would time out and cut live connections; the inactivity timeout finds dead ones.
  pingIntervalMs: null,
};
