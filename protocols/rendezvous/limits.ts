/** The bounds of `/rendezvous/1.0.0`. Apart from the codecs, so that a store's thread can have them without. */
export const RENDEZVOUS_LIMITS = {
  /** Of a namespace, in bytes of UTF-8. The spec's recommendation. */
  maxNamespaceBytes: 255,
  /** Registrations shorter than this are refused. The spec's recommendation. */
  minTtlSeconds: 2 * 3600,
  /** Registrations longer than this are refused. The spec's upper bound. */
  maxTtlSeconds: 72 * 3600,
  /** What a registration without a TTL gets. The spec's default. */
  defaultTtlSeconds: 2 * 3600,
  /** Registrations of one peer, over all namespaces. The spec's recommendation. */
  maxRegistrationsPerPeer: 1000,
  /** Registrations in one answer, and what a discover without a limit gets. The spec's recommendation. */
  maxDiscoverLimit: 1000,
  /** A signed peer record: what go-libp2p and js-libp2p accept in an identify message. */
  maxSignedPeerRecordBytes: 8 * 1024,
  /** A request: the largest signed peer record with the longest namespace, doubled for fields of later versions. */
  maxRequestBytes: 16 * 1024,
  /** An answer. rust-libp2p reads no more than this. */
  maxResponseBytes: 1024 * 1024,
  /** A cookie from another implementation that we hand back: so that the request fits its own limit. */
  maxCookieBytes: 4 * 1024,
} as const;
