/** What a bootstrap node is started with. The `tincan` command fills it from flags, environment and `config.toml`. */
export interface BootstrapConfig {
  /** Identity and store live here; one process at a time. Created with mode 0700. */
  dataDir: string;
  /** Multiaddrs to listen on. */
  listen: string[];
  /** Public multiaddrs to announce; without them, those found out. */
  announce: string[];
  /** HOST:PORT of health, metrics and the read-only phonebook. Port 0 picks a free one. */
  http: string;
  /** Open connections at the most. */
  maxConnections: number;
  /** Blobs held for one recipient at the most, from senders with a capability of it; strangers have a twentieth beside it. */
  mailboxBlobs: number;
  /** Bytes held for one recipient at the most; the same. */
  mailboxBytes: number;
  /** Blobs held for one recipient from one sender at the most. */
  mailboxBlobsPerSender: number;
  /** Bytes of the whole store above which no deposits are taken. */
  mailboxTotalBytes: number;
  /** Deposits a minute from one peer. */
  depositsPerMinute: number;
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug';
}

/** What a daemon or bootstrap node prints when it is ready. */
export interface Ready {
  peerId: string;
  multiaddrs: string[];
  /** The URL of the HTTP endpoints. */
  http: string;
}
