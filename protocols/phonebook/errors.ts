import { Status } from './phonebook_pb.ts';
import type { PhonebookErrorCode } from './protocol.ts';

const STATUS_OF: Record<PhonebookErrorCode, Status> = {
  malformed: Status.MALFORMED,
  unsupported: Status.UNSUPPORTED,
  'invalid-name': Status.INVALID_NAME,
  taken: Status.TAKEN,
  'has-name': Status.HAS_NAME,
  'bad-certificate': Status.BAD_CERTIFICATE,
  'bad-peer-record': Status.BAD_PEER_RECORD,
  'bad-contact-card': Status.BAD_CONTACT_CARD,
  'clock-skew': Status.CLOCK_SKEW,
  'stale-seq': Status.STALE_SEQ,
  'not-found': Status.NOT_FOUND,
  'not-yours': Status.NOT_YOURS,
  'rate-limited': Status.RATE_LIMITED,
  full: Status.FULL,
  unavailable: Status.UNAVAILABLE,
};

const CODE_OF = new Map<number, PhonebookErrorCode>(
  Object.entries(STATUS_OF).map(([code, status]) => [status, code as PhonebookErrorCode]),
);

/** The status on the wire of a refusal. */
export function statusOf(code: PhonebookErrorCode): Status {
  return STATUS_OF[code];
}

/** The refusal behind a status; undefined for `ok` and for statuses newer than this program. */
export function codeOf(status: number): PhonebookErrorCode | undefined {
  return CODE_OF.get(status);
}

/** What went wrong and what to do about it, in words for a person. */
const EXPLANATIONS: Record<PhonebookErrorCode, [message: string, hint: string]> = {
  malformed: ['the phonebook could not read the request', 'this is a fault of the program: report it'],
  unsupported: ['the phonebook does not know this request', 'ask its operator to update it'],
  'invalid-name': ['the phonebook refuses the name', 'choose another name'],
  taken: ['the name is taken', 'choose another name'],
  'has-name': ['this peer has a name at this phonebook already', 'release that name first'],
  'bad-certificate': ['the phonebook refuses the certificate', 'this is a fault of the program: report it'],
  'bad-peer-record': ['the phonebook refuses the peer record', 'this is a fault of the program: report it'],
  'bad-contact-card': ['the phonebook refuses the contact card', 'this is a fault of the program: report it'],
  'clock-skew': ["this computer's clock differs from the phonebook's", 'set the clock, and try again'],
  'stale-seq': ['the phonebook knows a later certificate for the name', 'try again with a higher seq'],
  'not-found': ['the phonebook knows nobody by that name or peer id', 'check the spelling'],
  'not-yours': ['the name is not held by this peer', 'only its owner can release a name'],
  'rate-limited': ['the phonebook was asked too often', 'wait a little, and try again'],
  full: ['the phonebook has no more room', 'try again later, or another phonebook'],
  unavailable: ['the phonebook can not write to its disk now', 'try again later; nothing was changed'],
};

export interface PhonebookErrorDetails {
  /** From the phonebook; untrusted, cut to 300 characters without control characters. */
  detail?: string;
  /** The phonebook's clock. */
  phonebookTimeMs?: number;
  /** How far the clock here is ahead of the phonebook's (behind, if negative). */
  clockAheadMs?: number;
  currentSeq?: number;
  retryAfterMs?: number;
  heldName?: string;
}

/** The phonebook refused; nothing of the request was kept. `message` and `hint` are for a person. */
export class PhonebookError extends Error {
  override name = 'PhonebookError';
  readonly code: PhonebookErrorCode;
  readonly hint: string;
  readonly details: PhonebookErrorDetails;

  constructor(code: PhonebookErrorCode, details: PhonebookErrorDetails = {}) {
    super(explain(code, details));
    this.code = code;
    this.hint = EXPLANATIONS[code][1];
    this.details = details;
  }
}

function explain(code: PhonebookErrorCode, details: PhonebookErrorDetails): string {
  const message = EXPLANATIONS[code][0];
  if (code === 'clock-skew' && details.clockAheadMs !== undefined && details.phonebookTimeMs !== undefined) {
    const direction = details.clockAheadMs < 0 ? 'behind' : 'ahead of';
    const said = `this computer's clock is ${span(details.clockAheadMs)} ${direction} the phonebook's`;
    if (details.phonebookTimeMs > MAX_TIME_MS) return said;
    return `${said}, which says ${new Date(details.phonebookTimeMs).toISOString()}`;
  }
  if (code === 'has-name' && details.heldName) return `${message}: ${details.heldName}`;
  return details.detail ? `${message}: ${details.detail}` : message;
}

/** The last millisecond a Date can hold. A phonebook may say anything. */
const MAX_TIME_MS = 8_640_000_000_000_000;

const HOUR_MS = 60 * 60 * 1000;

/** A length of time as a person would put it. */
function span(ms: number): string {
  const hours = Math.round(Math.abs(ms) / HOUR_MS);
  const days = Math.round(hours / 24);
  const years = Math.round(days / 365.25);
  if (years >= 2) return `${years} years`;
  return days >= 2 ? `${days} days` : `${hours} hours`;
}
