import { DepositorsRefused_Reason } from './depositors-frames.ts';
import type { DepositorsRefusal } from './depositors-frames.ts';
import { PrekeysRefused_Reason } from './prekey-frames.ts';
import type { PrekeyRefusal } from './prekey-frames.ts';
import { End_Reason, Status } from './protocol.ts';
import type { Answer } from './protocol.ts';

/**
 * Why a mailbox did not do what it was asked for, and what to do about it:
 *
 * - `full`: the recipient's mailbox has no room; try again when the recipient has collected, or another mailbox. For
 *   prekeys: more than an owner may have there; count, and publish fewer. For depositors: unblock others first. Without a
 *   capability: there is no room for people whom the recipient has not accepted yet
 * - `sender-full`: our share of that mailbox is used up; as `full`
 * - `too-large`: the blob will never be accepted; split it
 * - `rate-limited`: wait `retryAfterMs`
 * - `malformed`: the mailbox does not accept a field, named in the message; a fault of ours
 * - `hash-mismatch`: the blob was changed on its way; send it again
 * - `no-prekey`: the mailbox has no prekey of the recipient; ask another of its mailboxes, or meet it live
 * - `expired`: past by the mailbox's clock; choose a later time, or check the clock
 * - `unavailable`: the mailbox can't use its disk; wait, or try another mailbox
 * - `refused`: the recipient takes nothing from us; later attempts end the same, unless it changes its mind. Also for a
 *   status that this version does not know
 * - `busy`: too much waits on this side already; wait for answers first
 * - `replaced`: another collect stream of this peer took over
 * - `unsupported`: a mailbox of a version that keeps no prekeys, or blocks nobody; use another one for that
 */
export type MailboxErrorCode =
  | 'full'
  | 'sender-full'
  | 'too-large'
  | 'rate-limited'
  | 'malformed'
  | 'hash-mismatch'
  | 'no-prekey'
  | 'expired'
  | 'unavailable'
  | 'refused'
  | 'busy'
  | 'replaced'
  | 'unsupported';

/** A refusal by a mailbox, or by this side on its behalf. What the network does wrong is thrown as it comes. */
export class MailboxError extends Error {
  override name = 'MailboxError';
  readonly code: MailboxErrorCode;
  /** How long to wait before the next attempt; 0 when the mailbox did not say. */
  readonly retryAfterMs: number;

  constructor(message: string, code: MailboxErrorCode, { retryAfterMs = 0 }: { retryAfterMs?: number } = {}) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a mailbox has for its own: the blob is on its disk. */
export interface DepositAnswer {
  status: 'stored' | 'already-there';
  /** Milliseconds since 1970 after which the mailbox drops the blob; earlier than asked for if that was over its limit. */
  keptUntilMs: number;
}

/** What an answer on the wire means to the depositor. */
export function depositOutcome({
  status,
  keptUntilMs,
  retryAfterMs,
  detail,
}: Answer): DepositAnswer | MailboxError {
  const refusal = (code: MailboxErrorCode, reason: string): MailboxError =>
    new MailboxError(detail === '' ? reason : detail, code, { retryAfterMs });
  switch (status) {
    case Status.STORED:
      return { status: 'stored', keptUntilMs };
    case Status.ALREADY_THERE:
      return { status: 'already-there', keptUntilMs };
    case Status.FULL:
      return refusal('full', 'the mailbox of the recipient is full');
    case Status.SENDER_FULL:
      return refusal('sender-full', 'our share of the mailbox of the recipient is full');
    case Status.TOO_LARGE:
      return refusal('too-large', 'the blob is too large for the mailbox');
    case Status.RATE_LIMITED:
      return refusal('rate-limited', 'too many deposits');
    case Status.MALFORMED:
      return refusal('malformed', 'the mailbox calls the deposit malformed');
    case Status.HASH_MISMATCH:
      return refusal('hash-mismatch', 'the blob does not match its id');
    case Status.EXPIRED:
      return refusal('expired', 'the deposit is expired by the clock of the mailbox');
    case Status.UNAVAILABLE:
      return refusal('unavailable', 'the mailbox is not available');
    case Status.REFUSED:
      return refusal('refused', 'the recipient takes nothing from this depositor');
    case Status.UNSPECIFIED:
    default:
      return refusal('refused', `the mailbox refused with status ${status}`);
  }
}

/** What the end of a collect stream means to the recipient. */
export function collectError(reason: End_Reason): MailboxError {
  switch (reason) {
    case End_Reason.REPLACED:
      return new MailboxError('another collect stream of this peer took over', 'replaced');
    case End_Reason.UNAVAILABLE:
      return new MailboxError('the mailbox is not available', 'unavailable');
    case End_Reason.UNSPECIFIED:
    default:
      return new MailboxError(`the mailbox ended the stream with reason ${reason}`, 'refused');
  }
}

/** What a refusal of a request about prekeys means to the peer that asked. */
export function prekeyError({ reason, retryAfterMs, detail }: PrekeyRefusal): MailboxError {
  const refusal = (code: MailboxErrorCode, words: string): MailboxError =>
    new MailboxError(detail === '' ? words : detail, code, { retryAfterMs });
  switch (reason) {
    case PrekeysRefused_Reason.NONE:
      return refusal('no-prekey', 'the mailbox has no prekey of the recipient');
    case PrekeysRefused_Reason.RATE_LIMITED:
      return refusal('rate-limited', 'too many requests about prekeys');
    case PrekeysRefused_Reason.MALFORMED:
      return refusal('malformed', 'the mailbox calls the request about prekeys malformed');
    case PrekeysRefused_Reason.EXPIRED:
      return refusal('expired', 'a prekey is expired by the clock of the mailbox');
    case PrekeysRefused_Reason.FULL:
      return refusal('full', 'the mailbox has no room for more prekeys');
    case PrekeysRefused_Reason.UNAVAILABLE:
      return refusal('unavailable', 'the mailbox is not available');
    case PrekeysRefused_Reason.UNSPECIFIED:
    default:
      return refusal('refused', `the mailbox refused with reason ${reason}`);
  }
}

/** What a refusal of a request about depositors means to the owner that asked. */
export function depositorsError({ reason, retryAfterMs, detail }: DepositorsRefusal): MailboxError {
  const refusal = (code: MailboxErrorCode, words: string): MailboxError =>
    new MailboxError(detail === '' ? words : detail, code, { retryAfterMs });
  switch (reason) {
    case DepositorsRefused_Reason.RATE_LIMITED:
      return refusal('rate-limited', 'too many requests about depositors');
    case DepositorsRefused_Reason.MALFORMED:
      return refusal('malformed', 'the mailbox calls the request about depositors malformed');
    case DepositorsRefused_Reason.FULL:
      return refusal('full', 'the mailbox can not block more depositors');
    case DepositorsRefused_Reason.UNAVAILABLE:
      return refusal('unavailable', 'the mailbox is not available');
    case DepositorsRefused_Reason.UNSPECIFIED:
    default:
      return refusal('refused', `the mailbox refused with reason ${reason}`);
  }
}
