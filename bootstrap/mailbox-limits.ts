import { MAX_BLOB_BYTES } from '../protocols/mailbox/protocol.ts';
import type { BucketLimits } from '../protocols/transport/token-bucket.ts';
import type { ByteLimits } from './byte-room.ts';
import type { BootstrapConfig } from './config.ts';

/** What is held for one recipient: from those it has accepted, or from strangers. */
export interface ShareLimits {
  blobs: number;
  bytes: number;
  /** From one of them. */
  blobsPerSender: number;
}

/** What a mailbox holds and how fast it takes it. Defaults of the configurable ones stand beside the command's flags. */
export interface MailboxLimits extends ShareLimits {
  blobBytes: number;
  /** A blob is kept this long at the most. */
  keptMs: number;
  /** For senders without a capability of the recipient, beside what the others have. */
  strangers: ShareLimits;
  /** From one peer; also what it may deposit in one go after a pause. */
  depositsPerMinute: number;
  /** From all peers of one address. */
  depositsPerAddress: BucketLimits;
  /** Bytes of blobs from all peers of one address. */
  depositBytesPerAddress: BucketLimits;
  /** Bytes of the whole store, names and registrations included, above which nothing more is taken. */
  totalBytes: number;
  /** Collect streams that one peer may open a minute. */
  collectsPerMinute: number;
  /** The same for all peers of one address. */
  collectsPerAddress: BucketLimits;
  /** Bytes of blobs being sent to recipients, all together, and to those of one address. */
  sending: ByteLimits;
  /** Blobs on their way to a recipient that it has not acknowledged. */
  windowBlobs: number;
  windowBytes: number;
  /** Bytes of blobs waiting for a commit, from all peers together and from those of one address; beyond it, reading pauses. */
  underCommit: ByteLimits;
  /** Between two walks over everything held, for what nobody came for. */
  sweepEveryMs: number;
}

/** What all strangers together may leave for somebody, of what those may whom it has accepted. */
const STRANGERS_SHARE = 1 / 20;

/** A first message is one blob; a second and third follow when the sender seals it again, or was restored. */
const BLOBS_PER_STRANGER = 4;

/** Long enough for a holiday. */
const KEPT_MS = 21 * 24 * 3_600_000;

/**
 * The window of a collect stream. It has to cover the time from sending a blob to its acknowledgement, which includes the
 * recipient's commit. Measured on loopback with one recipient of 331-byte blobs: 28,000 a second with a window of 64,
 * 62,000 with 256, no more with 1,024.
 */
const WINDOW_BLOBS = 256;
const WINDOW_BYTES = 1024 * 1024;

/**
 * Everybody waits for the commit before theirs, and what is under commit is written by the next: so that is little, and of
 * one address among several less. 50 depositors behind one address were at most a tenth faster with 8 MiB.
 */
const UNDER_COMMIT: ByteLimits = { total: 4 * 1024 * 1024, perAddress: 256 * 1024 };

/** An expired blob is never handed out and not counted, so a sweep only frees the disk. It reads everything once. */
const SWEEP_EVERY_MS = 3_600_000;

/** Peers' worth of deposits that one address may make: those who write at the same time, behind it. */
const BUSY_PEERS = 16;

/** What one address may leave: a day's mail of thousands of people at once, and 3.6 GiB an hour after that. */
const DEPOSIT_BYTES_PER_ADDRESS: BucketLimits = { burst: 512 * 1024 * 1024, perSecond: 1024 * 1024 };

/** A collect stream lasts for as long as its connection. Each new one reads a part of the window from the disk. */
const COLLECTS_PER_MINUTE = 12;

/** A campus of two thousand coming back at once. */
const COLLECTS_PER_ADDRESS: BucketLimits = { burst: 4_000, perSecond: 40 };

/**
 * What recipients that do not read can make the node hold: each a part of its window. A quarter for one address, so that
 * the others are not kept waiting.
 */
const SENDING: ByteLimits = { total: 64 * 1024 * 1024, perAddress: 16 * 1024 * 1024 };

/** The limits of a bootstrap node. */
export function mailboxLimits(
  config: Pick<
    BootstrapConfig,
    'mailboxBlobs' | 'mailboxBytes' | 'mailboxBlobsPerSender' | 'mailboxTotalBytes' | 'depositsPerMinute'
  >,
): MailboxLimits {
  return {
    blobBytes: MAX_BLOB_BYTES,
    keptMs: KEPT_MS,
    blobs: config.mailboxBlobs,
    bytes: config.mailboxBytes,
    blobsPerSender: config.mailboxBlobsPerSender,
    strangers: {
      // One at the least: else nobody could ever be asked.
      blobs: Math.max(1, Math.floor(config.mailboxBlobs * STRANGERS_SHARE)),
      bytes: Math.floor(config.mailboxBytes * STRANGERS_SHARE),
      blobsPerSender: Math.min(BLOBS_PER_STRANGER, config.mailboxBlobsPerSender),
    },
    depositsPerMinute: config.depositsPerMinute,
    depositsPerAddress: {
      burst: BUSY_PEERS * config.depositsPerMinute,
      perSecond: (BUSY_PEERS * config.depositsPerMinute) / 60,
    },
    depositBytesPerAddress: DEPOSIT_BYTES_PER_ADDRESS,
    totalBytes: config.mailboxTotalBytes,
    collectsPerMinute: COLLECTS_PER_MINUTE,
    collectsPerAddress: COLLECTS_PER_ADDRESS,
    sending: SENDING,
    windowBlobs: WINDOW_BLOBS,
    windowBytes: WINDOW_BYTES,
    underCommit: UNDER_COMMIT,
    sweepEveryMs: SWEEP_EVERY_MS,
  };
}
