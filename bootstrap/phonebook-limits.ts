import type { BucketLimits } from '../protocols/transport/token-bucket.ts';

/** The bounds of a phonebook. */
export interface PhonebookLimits {
  /** Names held at once, those just released or expired included. */
  maxNames: number;
  /** Peers whose presence is kept in memory. */
  maxPeers: number;
  /** Bytes of peer records and contact cards kept in memory for them. */
  maxPresenceBytes: number;
  /** Claims and releases a minute from one peer. */
  claimsPerMinute: number;
  renewalsPerMinute: number;
  /** Resolutions and pages of the listing a minute for one peer. */
  lookupsPerMinute: number;
  /** The same for all peers of one address together. */
  perAddress: { claims: BucketLimits; renewals: BucketLimits; lookups: BucketLimits };
  /** Calls waiting for the store beyond which requests are turned away. */
  maxStoreQueue: number;
}

export const PHONEBOOK_LIMITS: PhonebookLimits = {
  // A town. About 1.5 kB of disk each.
  maxNames: 100_000,
  // Twice the connections a large node holds; those who have left stay known as long as there is room.
  maxPeers: 20_000,
  // The largest record and card are 4 KiB each, usual ones 300 bytes.
  maxPresenceBytes: 64 * 1024 * 1024,
  // A person tries a few names.
  claimsPerMinute: 20,
  // Ten times what is asked for: reconnecting and changing addresses renew too.
  renewalsPerMinute: 20,
  // A daemon with some hundred contacts looks them all up when it starts.
  lookupsPerMinute: 600,
  perAddress: {
    // A campus of two thousand that comes all at once. Each claims anew every two weeks; whoever squats names gets no more
    // than 14,400 a day.
    claims: { burst: 2_000, perSecond: 10 / 60 },
    // Three times what that campus needs when all of it is there.
    renewals: { burst: 4_000, perSecond: 200 },
    // A tenth of a core.
    lookups: { burst: 12_000, perSecond: 200 },
  },
  // A second's worth on a slow disk.
  maxStoreQueue: 10_000,
};
