import { MAX_BLOB_BYTES } from '../protocols/mailbox/protocol.ts';
import type { BootstrapConfig } from './config.ts';

/** What a mailbox holds and how fast it takes it. Defaults of the configurable ones stand beside the command's flags. */
export interface MailboxLimits {
  blobBytes: number;
  /** A blob is kept this long at the most. */
  keptMs: number;
  /** For one recipient. */
  blobs: number;
  /** For one recipient. */
  bytes: number;
  /** For one recipient from one sender. */
  blobsPerSender: number;
  /** From one peer; also what it may deposit in one go after a pause. */
  depositsPerMinute: number;
  /** Blobs on their way to a recipient that it has not acknowledged. */
  windowBlobs: number;
  windowBytes: number;
  /** Bytes of blobs waiting for a commit, from all peers together; beyond it, reading pauses. */
  underCommitBytes: number;
  /** Between two walks over everything held, for what nobody came for. */
  sweepEveryMs: number;
}

/** Long enough for a holiday. */
const KEPT_MS = 21 * 24 * 3_600_000;

/**
 * The window of a collect stream. It has to cover the time from sending a blob to its acknowledgement, which includes the
 * recipient's commit. Measured on loopback with one recipient of 331-byte blobs: 28,000 a second with a window of 64,
 * 62,000 with 256, no more with 1,024.
 */
const WINDOW_BLOBS = 256;
const WINDOW_BYTES = 1024 * 1024;

/** Some commits' worth at full speed; a server has this much to spare. */
const UNDER_COMMIT_BYTES = 32 * 1024 * 1024;

/** An expired blob is never handed out and not counted, so a sweep only frees the disk. It reads everything once. */
const SWEEP_EVERY_MS = 3_600_000;

/** The limits of a bootstrap node. */
export function mailboxLimits(
  config: Pick<
    BootstrapConfig,
    'mailboxBlobs' | 'mailboxBytes' | 'mailboxBlobsPerSender' | 'depositsPerMinute'
  >,
): MailboxLimits {
  return {
    blobBytes: MAX_BLOB_BYTES,
    keptMs: KEPT_MS,
    blobs: config.mailboxBlobs,
    bytes: config.mailboxBytes,
    blobsPerSender: config.mailboxBlobsPerSender,
    depositsPerMinute: config.depositsPerMinute,
    windowBlobs: WINDOW_BLOBS,
    windowBytes: WINDOW_BYTES,
    underCommitBytes: UNDER_COMMIT_BYTES,
    sweepEveryMs: SWEEP_EVERY_MS,
  };
}
