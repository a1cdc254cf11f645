/**
 * The bounds of a libp2p node. Every default of js-libp2p 3.3 that chokes a hub, or several nodes on one host, or that is
 * no bound at all, is set here, with its reason.
 */
export interface TransportLimits {
  /** Open connections at the most; js-libp2p prunes the newest beyond it. Default there: 300. */
  maxConnections: number;
  /** New inbound connections a second from one IP address; more are refused. Default there: 5. */
  inboundConnectionsPerSecond: number;
  /** Inbound connections that may be in their handshake at once; more are refused. Default there: 10. */
  maxPendingInbound: number;
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

/** A person's daemon: some friends, a few bootstrap nodes, the DHT's buckets. */
export const DAEMON_LIMITS: TransportLimits = {
  maxConnections: 500,
  // Several daemons behind one NAT, or a test's on one host, reconnect together.
  inboundConnectionsPerSecond: 50,
  maxPendingInbound: 100,
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
  // A campus behind one address coming back after an outage.
  inboundConnectionsPerSecond: 200,
  // Half a second's worth of handshakes on one core; the others try again.
  maxPendingInbound: 500,
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
