/** What a daemon is started with. The `tincan` command fills it from flags, environment and `config.toml`. */
export interface DaemonConfig {
  /** Identity, store and control socket live here; one daemon at a time. Created with mode 0700. */
  dataDir: string;
  /** Claimed at start at every bootstrap node, if it is free or already ours. */
  name?: string;
  /** Multiaddrs of bootstrap nodes, each with a /p2p/ part. */
  bootstrap: string[];
  /** Multiaddrs to listen on. */
  listen: string[];
  /** Multiaddrs to announce instead of those found out. Empty for those found out. */
  announce: string[];
  /** HOST:PORT of the HTTP API; the host must be a loopback address. Port 0 picks a free one. */
  http: string;
  /** Keeps this peer out of the phonebooks' listings. */
  unlisted: boolean;
  /** `auto` is `server` when the network is private as a whole, else `client` until publicly reachable. */
  dht: 'auto' | 'server' | 'client';
  /** Tells friends what has been read. */
  readReceipts: boolean;
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug';
}

/** What a daemon or bootstrap node prints when it is ready. */
export interface Ready {
  peerId: string;
  multiaddrs: string[];
  /** The URL of the HTTP API. */
  http: string;
}
