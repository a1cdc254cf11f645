import { RENDEZVOUS_LIMITS } from '../protocols/rendezvous/limits.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { RegistrationLimits } from './registration-table.ts';

/** The bounds of the rendezvous registrations. */
export const REGISTRATION_LIMITS: RegistrationLimits = {
  maxPerPeer: RENDEZVOUS_LIMITS.maxRegistrationsPerPeer,
  // At a typical 300 bytes a row this is 60 MB of disk, at the largest records 1.6 GB.
  maxTotal: 200_000,
  maxPage: RENDEZVOUS_LIMITS.maxDiscoverLimit,
  // A thousand typical registrations. A client that asks and does not read holds this much of our memory per stream.
  maxPageBytes: 256 * 1024,
};

/** Calls waiting for the store beyond which requests are turned away: a second's worth on a slow disk. */
export const MAX_STORE_QUEUE = 10_000;

/**
 * Registrations and discoveries from one peer a minute. A client with the full thousand namespaces registers them in two
 * minutes; any other needs a few an hour.
 */
export const RENDEZVOUS_REQUESTS_PER_MINUTE = 600;

/** The same for all peers of one address together: a campus of two thousand that comes all at once. */
export const RENDEZVOUS_REQUESTS_PER_ADDRESS: BucketLimits = { burst: 12_000, perSecond: 100 };

/**
 * Registrations of all peers of one address together. That campus renews its own each hour or so; the longest that one
 * lasts is 72 hours, in which one address alone can't fill the table.
 */
export const REGISTRATIONS_PER_ADDRESS: BucketLimits = { burst: 5_000, perSecond: 40 / 60 };

/** Discoveries under way at once: 16 MiB of pages. */
export const MAX_DISCOVERIES = 64;

/** Rendezvous streams one connection may have open. A client needs one at a time. */
export const RENDEZVOUS_INBOUND_STREAMS = 4;

/**
 * The circuit relay (v2). js-libp2p's defaults (15 reservations, 128 KiB and 2 min a connection) are made for a stranger's
 * goodwill; two friends behind symmetric NATs have nothing but this relay.
 */
export const RELAY_LIMITS = {
  /** A reservation lasts this long at the most; its peer renews it, and it ends when the peer disconnects. */
  reservationTtlMs: 2 * 3_600_000,
  /** A relayed connection is cut after this long, and dialled again. */
  connectionDurationMs: 24 * 3_600_000,
  /** A relayed connection is cut after this much data in both directions together, and dialled again. */
  connectionBytes: 1024n * 1024n * 1024n,
  /** Relayed connections one peer may have asked for at once. */
  maxHopStreams: 128,
  /** Relayed connections to one peer at once. */
  maxStopStreams: 256,
} as const;

/** libp2p closes each connection politely first, for half a second; the whole stop may take three. */
export const STOP_LIBP2P_MS = 2_000;

/** Phonebook streams one connection may have open: a daemon looks up a screen of contacts at a time. */
export const PHONEBOOK_INBOUND_STREAMS = 16;

/**
 * Of all connections, those that may come from one address. Behind one there may be a campus, or all of a test; the others
 * keep half.
 */
export const MAX_SHARE_PER_ADDRESS = 0.5;
