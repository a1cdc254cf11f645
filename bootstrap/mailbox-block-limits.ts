import { MAX_BLOCKED_DEPOSITORS } from '../protocols/mailbox/depositors-frames.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { BootstrapConfig } from './config.ts';

/** Whom a mailbox remembers to refuse, and how often it lets itself be told. */
export interface MailboxBlockLimits {
  /** Depositors that one owner may block, and has unblocked. */
  perOwner: number;
  /** The same for all owners together. */
  total: number;
  /** Bytes of the whole store above which none are added. */
  storeBytes: number;
  /** Requests of one owner. */
  requests: BucketLimits;
  /** The same for all owners of one address together. */
  requestsPerAddress: BucketLimits;
  /** Depositors named in requests from one address. */
  namedPerAddress: BucketLimits;
}

/** What a row takes on the disk with its index entries: two peer ids of 38 bytes, twice, three times and numbers. */
const ROW_BYTES = 256;

/** Blocks do not crowd out mail: at the default of 8 GiB, half a million rows, of 128 MiB together. */
const SHARE_OF_STORE = 1 / 64;

/** A daemon that comes to a new mailbox tells all its blocks at once; after that, one now and then. */
const REQUESTS: BucketLimits = { burst: 10, perSecond: 1 / 60 };

/** A campus of two thousand that comes all at once, each with its blocks. */
const REQUESTS_PER_ADDRESS: BucketLimits = { burst: 4_000, perSecond: 0.5 };

/**
 * That campus with ten blocks each, twice, and four thousand an hour after that: one address alone needs five days to fill
 * half a million rows.
 */
const NAMED_PER_ADDRESS: BucketLimits = { burst: 40_000, perSecond: 1 };

/** The limits of a bootstrap node. */
export function mailboxBlockLimits({
  mailboxTotalBytes,
}: Pick<BootstrapConfig, 'mailboxTotalBytes'>): MailboxBlockLimits {
  return {
    perOwner: MAX_BLOCKED_DEPOSITORS,
    total: Math.floor((SHARE_OF_STORE * mailboxTotalBytes) / ROW_BYTES),
    storeBytes: mailboxTotalBytes,
    requests: REQUESTS,
    requestsPerAddress: REQUESTS_PER_ADDRESS,
    namedPerAddress: NAMED_PER_ADDRESS,
  };
}
