/** Names and presence: README.md is the specification. */
export const PHONEBOOK_PROTOCOL = '/phonebook/1.0.0';

/** A proposal (512), a peer record and a contact card (4,096 each), and room for fields to come. */
export const MAX_REQUEST_BYTES = 16 * 1024;

/** A page of 100 entries with the longest names comes to about 22 KiB. */
export const MAX_ANSWER_BYTES = 64 * 1024;

/** A peer record with the 30 or so addresses that a much connected host has is under 2 KiB. */
export const MAX_PEER_RECORD_BYTES = 4096;

/** Entries in one page of the listing: a few screens full. */
export const MAX_PAGE_ENTRIES = 100;

/** How often a peer says that it is there: three times within PRESENCE_MS, so that two may get lost. */
export const RENEW_INTERVAL_MS = 30_000;

/** What a client makes of the interval a phonebook wants: not so short that it keeps the machine busy. */
export const MIN_RENEW_INTERVAL_MS = 5000;

/** Nor so long that the peer counts as offline. */
export const MAX_RENEW_INTERVAL_MS = 60_000;

/** A peer that has said nothing for so long is offline. */
export const PRESENCE_MS = 90_000;

/** A stream is for a handful of requests; one that stays open longer is forgotten or meant to be in the way. */
export const STREAM_TIMEOUT_MS = 30_000;

/** Why a phonebook refused. Each is explained in README.md, "Refusals". */
export type PhonebookErrorCode =
  | 'malformed'
  | 'unsupported'
  | 'invalid-name'
  | 'taken'
  | 'has-name'
  | 'bad-certificate'
  | 'bad-peer-record'
  | 'bad-contact-card'
  | 'clock-skew'
  | 'stale-seq'
  | 'not-found'
  | 'not-yours'
  | 'rate-limited'
  | 'full'
  | 'unavailable';

export interface Refusal {
  status: PhonebookErrorCode;
  /** What exactly was wrong, for a person. */
  detail?: string;
  /** With `stale-seq`: the highest seq known for the name. */
  currentSeq?: number;
  /** With `rate-limited`. */
  retryAfterMs?: number;
  /** With `has-name`. */
  heldName?: string;
}

/** What was decided: `ok` and what was asked for, or a refusal, which changed nothing. */
export type Decision<Result> = ({ status: 'ok' } & Result) | Refusal;

export interface PresenceUpdate {
  /** A libp2p signed peer record, as it came. */
  peerRecord: Uint8Array;
  /** A sealed contact card, as it came. */
  contactCard: Uint8Array;
  listed: boolean;
  /** The sender's clock. */
  timeMs: number;
}

export interface OwnName {
  name: string;
  seq: number;
  expiresMs: number;
}

export type ResolveKey = { name: string } | { peerId: string };

export interface ListQuery {
  onlineOnly: boolean;
  /** 1 to `MAX_PAGE_ENTRIES`. */
  limit: number;
  /** The `next` of an earlier page. */
  after: string;
}

export interface ListEntry {
  peerId: string;
  name: string | null;
  online: boolean;
  lastSeenMs: number;
}

export interface ListPage {
  entries: ListEntry[];
  /** Null at the end. */
  next: string | null;
}

/** A row of the phonebook: everything but the entry is bytes that prove themselves. */
export interface ResolvedRow extends ListEntry {
  certificate: Uint8Array | null;
  peerRecord: Uint8Array | null;
  contactCard: Uint8Array | null;
}

/** The phonebook behind the protocol. `peerId` is the authenticated sender, in base58. */
export interface PhonebookDecisions {
  claim(
    peerId: string,
    proposal: Uint8Array,
    presence: PresenceUpdate,
  ): Promise<Decision<{ certificate: Uint8Array; intervalMs: number }>>;
  renew(
    peerId: string,
    presence: PresenceUpdate,
  ): Promise<Decision<{ intervalMs: number; ownName: OwnName | null }>>;
  release(peerId: string, name: string, seq: number): Promise<Decision<object>>;
  resolve(peerId: string, key: ResolveKey): Promise<Decision<{ row: ResolvedRow }>>;
  list(peerId: string, query: ListQuery): Promise<Decision<{ page: ListPage }>>;
}
