import { MAX_ONE_TIME_PREKEYS, MAX_PREKEY_BYTES } from '../protocols/mailbox/prekey-frames.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { ByteLimits } from './byte-room.ts';
import type { BootstrapConfig } from './config.ts';

/** What a mailbox holds of prekeys, and how fast it takes and gives them. */
export interface PrekeyLimits {
  prekeyBytes: number;
  /** Of one owner. */
  oneTime: number;
  /** Of one owner: the newest, and those before it. */
  lastResort: number;
  /** A prekey is handed out this long at the most. */
  keptMs: number;
  /** Bytes of everybody's prekeys together, with what a row takes beside them. */
  totalBytes: number;
  /** Bytes of the whole store above which nothing more is taken. */
  storeBytes: number;
  /** One-time prekeys of one recipient for one taker. Beyond it, there is the last-resort prekey. */
  takesOfRecipient: BucketLimits;
  /** The same for all takers of one address together. */
  takesOfRecipientPerAddress: BucketLimits;
  /** Requests of one peer about prekeys, of whatever kind. */
  requestsPerMinute: number;
  /** The same for all peers of one address together. */
  requestsPerAddress: BucketLimits;
  /** Takes of whatever recipients by all takers of one address together. */
  takesPerAddress: BucketLimits;
  /** Publications of one owner. */
  publications: BucketLimits;
  /** The same for all owners of one address together. */
  publicationsPerAddress: BucketLimits;
  /** Bytes of prekeys waiting for a commit, from all owners together and from those of one address. */
  underCommit: ByteLimits;
  /** Between two sweeps for what is expired. */
  sweepEveryMs: number;
}

/** The newest and the one before it, which serves when the newest was given less time. */
const LAST_RESORT = 2;

/**
 * As long as an owner keeps the secret of a last-resort prekey after it has made the next. Who is away for longer would not
 * be handed what a stranger leaves today.
 */
const KEPT_MS = 30 * 24 * 3_600_000;

/** Prekeys do not crowd out mail, nor mail prekeys: at the default of 8 GiB, 2 GiB for 15,000 owners with a full stock. */
const SHARE_OF_STORE = 0.25;

/**
 * Somebody who lost an answer, or whose first messages went astray, takes a second and a third. Beyond that somebody drains
 * a stock: at one in ten minutes it takes sixteen hours, and the owner tops it up in between.
 */
const TAKES_OF_RECIPIENT: BucketLimits = { burst: 6, perSecond: 1 / 600 };

/** A family or an office that meets somebody new together. Peer ids cost nothing, so that they do not add up. */
const TAKES_OF_RECIPIENT_PER_ADDRESS: BucketLimits = { burst: 30, perSecond: 1 / 120 };

/** First messages to that many strangers, which is more than a person writes. */
const REQUESTS_PER_MINUTE = 60;

/** A campus of two thousand that comes all at once: each counts its prekeys. */
const REQUESTS_PER_ADDRESS: BucketLimits = { burst: 4_000, perSecond: 40 };

/**
 * First messages of that campus to people who are away. Slow enough that takes are remembered for over an hour (peer-rate.ts
 * remembers 10,000): who takes from many recipients is not forgotten with those of one.
 */
const TAKES_PER_ADDRESS: BucketLimits = { burst: 600, perSecond: 2 };

/** Once a day is usual; a drained stock is filled at once, and a hundred prekeys a minute after that. */
const PUBLICATIONS: BucketLimits = { burst: 10, perSecond: 1 / 60 };

/**
 * That campus at once, then one in two seconds: of 210 KiB each at the most, so that one address alone needs over four hours
 * for the share of all.
 */
const PUBLICATIONS_PER_ADDRESS: BucketLimits = { burst: 2_000, perSecond: 0.5 };

/** Some commits' worth: forty full stocks, ten from one address. */
const UNDER_COMMIT: ByteLimits = { total: 8 * 1024 * 1024, perAddress: 2 * 1024 * 1024 };

/** What is expired is never handed out and not counted, so a sweep only frees the disk. */
const SWEEP_EVERY_MS = 3_600_000;

/** The limits of a bootstrap node. */
export function prekeyLimits({
  mailboxTotalBytes,
}: Pick<BootstrapConfig, 'mailboxTotalBytes'>): PrekeyLimits {
  return {
    prekeyBytes: MAX_PREKEY_BYTES,
    oneTime: MAX_ONE_TIME_PREKEYS,
    lastResort: LAST_RESORT,
    keptMs: KEPT_MS,
    totalBytes: SHARE_OF_STORE * mailboxTotalBytes,
    storeBytes: mailboxTotalBytes,
    takesOfRecipient: TAKES_OF_RECIPIENT,
    takesOfRecipientPerAddress: TAKES_OF_RECIPIENT_PER_ADDRESS,
    requestsPerMinute: REQUESTS_PER_MINUTE,
    requestsPerAddress: REQUESTS_PER_ADDRESS,
    takesPerAddress: TAKES_PER_ADDRESS,
    publications: PUBLICATIONS,
    publicationsPerAddress: PUBLICATIONS_PER_ADDRESS,
    underCommit: UNDER_COMMIT,
    sweepEveryMs: SWEEP_EVERY_MS,
  };
}
