import { z } from 'zod';
import { ERROR_STATUS, MAX_FOUND, MAX_QUERY_CHARS, MAX_TEXT_BYTES, MESSAGE_STATES } from './routes.ts';
import type { ErrorCode, RouteName } from './routes.ts';

/**
 * The daemon API: one table that gives the server's validation, the OpenAPI document and the client's types.
 * Times are ISO 8601 in UTC with milliseconds. `who` is a petname, a name, a peer id or an invite.
 */

/**
 * As `Date.toISOString` gives it. Others set their clocks as they like: a time past the year 9999 has six digits of years,
 * and must not make an answer fail.
 */
const Time = z
  .string()
  .regex(/^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time' });
const PeerId = z.string().describe('A libp2p peer id, as in 12D3KooW…');
const Multiaddr = z.string().describe('A multiaddr, as in /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…');
const Who = z.string().min(1).max(4096).describe('A petname, a name, a peer id or an invite');
const Petname = z
  .string()
  .min(1)
  .max(64)
  .refine((text) => text.isWellFormed(), 'a petname has to be valid Unicode: it holds half a surrogate pair');
const WhoParams = z.object({ who: Who });
const SafetyCode = z.string().min(1).max(400).describe('The text of a QR code of theirs, or 60 digits');
/** Ours are UUIDs of version 7; what others make of their 16 bytes must not make an answer fail. */
const MessageId = z.guid();
const Cursor = z.string().max(200).describe('Opaque: hand back what an earlier answer gave');

export const MessageState = z.enum(MESSAGE_STATES);

export const Message = z.object({
  id: MessageId,
  from: PeerId,
  fromName: z.string().nullable().describe('The petname or name this daemon knows the author by'),
  to: PeerId,
  toName: z.string().nullable(),
  text: z.string(),
  sentAt: Time.describe("The author's clock"),
  receivedAt: Time.nullable().describe("When this daemon committed it; null for one's own"),
  state: z
    .enum([...MESSAGE_STATES, 'unread'])
    .describe("One's own: queued, stored, delivered, read, failed. A friend's: unread, read"),
  seq: z
    .int()
    .positive()
    .describe(
      "The author's counter in this conversation; from 1 again when the author's daemon was restored from an old copy",
    ),
  missing: z
    .int()
    .nonnegative()
    .describe('How many messages of this author before this one have not arrived'),
  failure: z.string().nullable().describe('Why it failed, where state is failed'),
  cursor: Cursor,
});

const Bootstrap = z.object({
  multiaddr: Multiaddr,
  peerId: PeerId.nullable(),
  state: z.enum(['connected', 'connecting', 'down']),
  detail: z.string().nullable().describe('Why it is down, or what it refused'),
  lastSeenAt: Time.nullable(),
});

export const Status = z.object({
  peerId: PeerId,
  name: z.string().nullable(),
  version: z.string(),
  startedAt: Time,
  dataDir: z.string(),
  multiaddrs: z.array(Multiaddr),
  bootstrap: z.array(Bootstrap),
  dht: z.object({ mode: z.enum(['client', 'server']), peers: z.int() }),
  connections: z.int().describe('Peers connected to now'),
  outbox: z.object({
    messages: z.int().describe('Own messages not yet delivered'),
    oldestAt: Time.nullable(),
  }),
  unread: z.int(),
  requests: z.int().describe('Strangers who want to write to this user'),
  warnings: z.array(z.string()).describe('What the user should know and do something about'),
});

const Certificate = z.object({
  phonebook: PeerId,
  seq: z.int(),
  expiresAt: Time,
});

export const Identity = z.object({
  peerId: PeerId,
  name: z.string().nullable(),
  certificates: z.array(Certificate),
  multiaddrs: z.array(Multiaddr),
});

export const Peer = z.object({
  peerId: PeerId,
  name: z.string().nullable(),
  petname: z.string().nullable(),
  online: z.boolean(),
  lastSeenAt: Time.nullable(),
  connected: z.enum(['direct', 'relayed']).nullable(),
  verified: z.boolean().describe('Whether the user has compared the key and marked it as verified'),
});

/** A name that a phonebook has given to another key than the one it is pinned to. */
export const KeyChange = z.object({
  name: z.string(),
  known: PeerId.describe('The key that the name stands for here'),
  claimed: PeerId.describe('The key that the phonebook has given it to'),
  phonebook: PeerId,
  seenAt: Time,
});

const Blocked = z
  .boolean()
  .describe(
    'Whether sending to what was asked for is refused: the name is in question until the user decides',
  );

const Waiting = z
  .boolean()
  .describe('Whether their person has to accept this user before they take more messages');

export const Whois = Peer.extend({
  multiaddrs: z.array(Multiaddr),
  mailboxes: z.array(Multiaddr),
  certificate: Certificate.nullable(),
  source: z
    .enum(['contact', 'phonebook', 'dht', 'invite', 'connection', 'peer-id'])
    .describe('Where the answer came from'),
  waiting: Waiting,
  warning: z.string().nullable().describe('Set when a name this daemon has pinned now names another key'),
  keyChange: KeyChange.nullable().describe('A change that this peer has to do with, not decided yet'),
  blocked: Blocked,
});

export const Contact = Peer.extend({
  addedAt: Time,
  unread: z.int(),
  waiting: Waiting,
  keyChange: KeyChange.nullable().describe('A change that this peer has to do with, not decided yet'),
});

/** A stranger's first message, which waits for the user. */
export const Request = z.object({
  peerId: PeerId,
  name: z.string().nullable().describe('The name that a phonebook has certified; null when there is none'),
  safetyNumber: z.string().describe('60 digits, to be compared by another way'),
  receivedAt: Time,
  sentAt: Time.describe("The author's clock"),
  text: z.string(),
});

export const Invite = z.object({
  id: z.int().positive(),
  reusable: z.boolean(),
  createdAt: Time,
  expiresAt: Time,
  uses: z.int().describe('How many people came with it'),
});

const BlockedPeer = z.object({
  peerId: PeerId,
  name: z.string().nullable(),
  petname: z.string().nullable(),
  since: Time,
});

const SafetyNumber = z
  .string()
  .describe('60 digits in twelve groups of five; the same at the other end if both have the right key');

export const Verification = Peer.pick({ peerId: true, name: true, petname: true, verified: true }).extend({
  verifiedAt: Time.nullable(),
  safetyNumber: SafetyNumber,
  code: z.string().describe('The same as text for a QR code, to be scanned at the other end'),
  keyChange: KeyChange.nullable(),
  blocked: Blocked,
});

export const Comparison = z.object({
  result: z
    .enum(['match', 'mismatch', 'own'])
    .describe("Whether the code fits the key known here; 'own' is the code of this end's own screen"),
  detail: z.string(),
});

export const KeyChangeDetail = KeyChange.extend({
  knownVerified: z.boolean(),
  knownSafetyNumber: SafetyNumber,
  claimedSafetyNumber: SafetyNumber,
});

export const Conversation = z.object({
  peerId: PeerId,
  name: z.string().nullable(),
  petname: z.string().nullable(),
  unread: z.int(),
  last: Message.nullable(),
});

export const Sent = z.object({
  id: MessageId,
  state: MessageState,
  to: PeerId,
  failure: z.string().nullable(),
});

const MessagePage = z.object({
  messages: z.array(Message),
  next: Cursor.nullable().describe('Where the next page begins; null at the end'),
});

const Range = z
  .object({ start: z.int().nonnegative(), end: z.int().positive() })
  .describe('UTF-16 code units from the beginning of the text; `end` is the first one after it');

const SearchPage = z.object({
  messages: z.array(
    Message.extend({ matches: z.array(Range).describe('Where the words are: the first 100') }),
  ),
  next: Cursor.nullable().describe('Where the next page begins; null at the end'),
  notIndexed: z
    .int()
    .nonnegative()
    .describe('The newest messages that are not looked through yet, just after a start: ask again for them'),
});

const Text = z
  .string()
  .min(1)
  .refine((text) => text.isWellFormed(), 'text is not valid Unicode: it holds half a surrogate pair')
  .refine(
    (text) => Buffer.byteLength(text) <= MAX_TEXT_BYTES,
    `text may have at most ${MAX_TEXT_BYTES} bytes of UTF-8`,
  );

export const SendBody = z.object({
  to: Who,
  text: Text,
  wait: z
    .enum(['queued', 'stored', 'delivered'])
    .default('queued')
    .describe('Answer when this state is reached'),
  timeoutMs: z.int().min(0).max(600_000).default(10_000).describe('How long to wait for that state'),
});

/** One line a client writes to the streaming send. */
export const SendLine = z.object({
  to: Who,
  text: Text,
  ref: z
    .union([z.string().max(200), z.number()])
    .optional()
    .describe("The client's own mark, handed back in answers"),
});

export const ErrorBody = z.object({
  error: z.object({
    code: z.enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string().describe('What went wrong, in words for a person'),
    field: z.string().nullable().describe('Which part of the request was at fault'),
    hint: z.string().nullable().describe('What to do about it'),
  }),
});

/** One line the daemon answers the streaming send with: once per state a message reaches, or once for a refusal. */
export const SendLineAnswer = z.union([
  z.object({
    ref: z.union([z.string(), z.number()]).optional(),
    id: MessageId,
    to: PeerId,
    state: MessageState,
    failure: z.string().optional(),
  }),
  ErrorBody.extend({ ref: z.union([z.string(), z.number()]).optional() }),
]);

/** What `GET /v1/events` sends. `cursor` goes back in `after` to continue behind this event. */
export const Event = z.discriminatedUnion('type', [
  z
    .object({ type: z.literal('message'), cursor: Cursor, message: Message })
    .describe('A message arrived or was queued'),
  z
    .object({
      type: z.literal('state'),
      cursor: Cursor,
      peerId: PeerId,
      state: MessageState,
      ids: z.array(MessageId).describe('The own messages that reached the state'),
      failure: z.string().nullable(),
    })
    .describe('Own messages reached a state'),
  z.object({
    type: z.literal('peer'),
    cursor: Cursor,
    peerId: PeerId,
    connected: z.enum(['direct', 'relayed']).nullable(),
  }),
  z.object({
    type: z.literal('contact'),
    cursor: Cursor,
    peerId: PeerId,
    change: z.enum(['added', 'removed', 'changed']),
    waiting: Waiting.optional().describe('Set when nothing else has changed, also of who is no contact'),
  }),
  z
    .object({
      type: z.literal('request'),
      cursor: Cursor,
      peerId: PeerId,
      name: z.string().nullable(),
      change: z.enum(['received', 'accepted', 'declined']),
    })
    .describe('A stranger wants to write to this user, or the user has decided'),
  z.object({ type: z.literal('warning'), cursor: Cursor, message: z.string() }),
  z
    .object({ type: z.literal('resync'), cursor: Cursor, reason: z.enum(['restarted', 'overflow']) })
    .describe(
      'Events other than messages were lost since the cursor; the messages follow, the rest is to be asked for',
    ),
]);

/** One operation of the contract, as the server sees all of them. */
export interface Operation {
  summary: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  response: z.ZodType;
  /** HTTP status of success, 200 unless said. */
  status?: 200 | 201;
  /** The errors beyond `invalid`, `unauthorized` and `internal`, which any operation can end with. */
  errors: readonly ErrorCode[];
}

const Lock = z.object({ locked: z.boolean() });
const Limit = z.coerce.number().int().min(1).max(1000).default(100);
const Flag = z
  .enum(['true', 'false'])
  .transform((value) => value === 'true')
  .default(false);

export const contract = {
  status: { summary: 'How this daemon is doing', response: Status, errors: [] },
  identity: { summary: 'Who this daemon is', response: Identity, errors: [] },
  lock: {
    summary: 'Stop everything but this API, and forget all keys, until the passphrase is given again',
    response: Lock,
    errors: ['conflict'],
  },
  unlock: {
    summary: 'Give a locked daemon its passphrase; it is back when it answers',
    body: z.object({ passphrase: z.string().min(1).max(1024) }),
    response: Lock,
    errors: [],
  },
  backup: {
    summary: 'Write everything to one sealed file on the machine of the daemon',
    body: z.object({
      file: z.string().min(1).max(4096).describe('Absolute path of the backup; its folder is there'),
      passphrase: z
        .string()
        .min(1)
        .max(1024)
        .describe('For the backup alone; who has both has all, the identity too'),
      force: z.boolean().default(false).describe('Replace a backup that is there; nothing else is replaced'),
    }),
    response: z.object({
      file: z.string(),
      peerId: PeerId,
      madeAt: Time,
      bytes: z.int().describe('Size of the file'),
    }),
    status: 201,
    errors: ['conflict', 'disk-full'],
  },
  claimName: {
    summary: 'Claim a name at every phonebook in reach',
    body: z.object({ name: z.string().min(1).max(200) }),
    response: Identity,
    errors: ['conflict', 'unavailable', 'timeout'],
  },
  releaseName: {
    summary: 'Give the name back',
    response: Identity,
    errors: ['not-found', 'unavailable', 'timeout'],
  },
  peers: {
    summary: 'Who the phonebooks list, and who else is known here',
    query: z.object({ online: Flag }),
    response: z.object({ peers: z.array(Peer), warnings: z.array(z.string()) }),
    errors: [],
  },
  whois: {
    summary: 'Look somebody up',
    params: WhoParams,
    response: Whois,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  verification: {
    summary: 'The safety number with somebody, to be compared by another way',
    params: WhoParams,
    response: Verification,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  verify: {
    summary: 'Mark a key as verified, or take the mark back',
    params: WhoParams,
    body: z.object({
      verified: z.boolean(),
      code: SafetyCode.optional().describe('Mark only if this is what their screen shows'),
    }),
    response: Verification,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  compareCode: {
    summary: 'Compare a code from their screen, or the number they read out',
    params: WhoParams,
    body: z.object({ code: SafetyCode }),
    response: Comparison,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  keyChange: {
    summary: 'The two keys between which the user has to decide',
    params: WhoParams,
    response: KeyChangeDetail,
    errors: ['not-found'],
  },
  decideKeyChange: {
    summary: 'Keep the known key, or take the new one',
    params: WhoParams,
    body: z.object({
      decision: z.enum(['keep', 'accept']),
      claimed: PeerId.describe('The new key that the user was shown'),
    }),
    response: Peer,
    errors: ['not-found', 'conflict'],
  },
  contacts: { summary: 'The friends list', response: z.object({ contacts: z.array(Contact) }), errors: [] },
  addContact: {
    summary: 'Add a friend',
    body: z.object({ who: Who, petname: Petname.optional() }),
    response: Contact,
    status: 201,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  removeContact: {
    summary: 'Remove a friend; the history stays',
    params: WhoParams,
    response: Contact,
    errors: ['not-found'],
  },
  requests: {
    summary: 'Strangers who want to write to this user, the first first',
    response: z.object({ requests: z.array(Request) }),
    errors: [],
  },
  accept: {
    summary: 'Make a contact of a stranger; what they wrote goes to the inbox',
    params: WhoParams,
    body: z.object({ petname: Petname.optional() }),
    response: Contact,
    status: 201,
    errors: ['not-found', 'conflict'],
  },
  decline: {
    summary: 'Forget what a stranger asked for; they are not told, and can ask again after 30 days',
    params: WhoParams,
    response: z.object({ peerId: PeerId }),
    errors: ['not-found'],
  },
  blocked: {
    summary: 'Whom this user has blocked',
    response: z.object({ blocked: z.array(BlockedPeer) }),
    errors: [],
  },
  block: {
    summary: 'Take nothing more of somebody; the history stays',
    params: WhoParams,
    response: BlockedPeer,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  unblock: {
    summary: 'Take messages of somebody again',
    params: WhoParams,
    response: z.object({ peerId: PeerId }),
    errors: ['not-found'],
  },
  invite: {
    summary: 'Make an invite to hand to a friend: who comes with it needs not be accepted',
    body: z.object({
      reusable: z.boolean().default(false).describe('For several people; else it is for the first who comes'),
      expiresInMs: z
        .int()
        .min(60_000)
        .max(366 * 24 * 3_600_000)
        .default(30 * 24 * 3_600_000)
        .describe('How long somebody can come with it'),
    }),
    response: Invite.omit({ uses: true }).extend({ invite: z.string() }),
    status: 201,
    errors: ['conflict'],
  },
  invites: {
    summary: 'Invites that somebody can still come with',
    response: z.object({ invites: z.array(Invite) }),
    errors: [],
  },
  revokeInvite: {
    summary: 'Take an invite back: who comes with it is a stranger like others',
    params: z.object({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) }),
    response: z.object({ id: z.int() }),
    errors: ['not-found'],
  },
  connect: {
    summary: 'Connect now, and say how',
    body: z.object({ who: Who, timeoutMs: z.int().min(0).max(120_000).default(10_000) }),
    response: Peer.extend({ multiaddr: Multiaddr, rttMs: z.number() }),
    errors: ['not-found', 'unavailable', 'timeout'],
  },
  disconnect: { summary: 'Close the connection', params: WhoParams, response: Peer, errors: ['not-found'] },
  send: {
    summary: 'Send a message',
    body: SendBody,
    response: Sent,
    status: 201,
    errors: ['not-found', 'conflict', 'too-large', 'timeout', 'disk-full', 'unavailable'],
  },
  message: {
    summary: 'One message',
    params: z.object({ id: MessageId }),
    response: Message,
    errors: ['not-found'],
  },
  retry: {
    summary: 'Send a failed message again',
    params: z.object({ id: MessageId }),
    response: Sent,
    status: 201,
    errors: ['not-found', 'conflict', 'disk-full'],
  },
  inbox: {
    summary: 'Messages from others, in the order they arrived',
    query: z.object({ unread: Flag, after: Cursor.optional(), limit: Limit }),
    response: MessagePage,
    errors: [],
  },
  conversations: {
    summary: 'Everybody there is a history with',
    response: z.object({ conversations: z.array(Conversation) }),
    errors: [],
  },
  history: {
    summary: 'A conversation, newest page first, each page in reading order',
    params: WhoParams,
    query: z.object({ before: Cursor.optional(), limit: Limit }),
    response: MessagePage,
    errors: ['not-found'],
  },
  search: {
    summary: 'Messages that have all of some words, newest first',
    query: z.object({
      q: z
        .string()
        .min(1)
        .max(MAX_QUERY_CHARS)
        .describe(
          'Words, or their beginnings, between spaces; at most 16. Capitals and accents make no difference, a single letter has to stand alone, and no character is syntax',
        ),
      who: Who.optional().describe(
        'Only the conversation with them: a petname, a name, a peer id or an invite',
      ),
      cursor: Cursor.optional(),
      limit: z.coerce.number().int().min(1).max(MAX_FOUND).default(50),
    }),
    response: SearchPage,
    errors: ['not-found', 'conflict', 'timeout'],
  },
  markRead: {
    summary: 'Mark what has been seen as read',
    params: WhoParams,
    body: z.object({ upTo: MessageId.describe('Everything that arrived up to this message counts as read') }),
    response: z.object({ unread: z.int() }),
    errors: ['not-found'],
  },
} as const satisfies Record<RouteName, Operation>;

type Contract = typeof contract;
type Parsed<T> = T extends z.ZodType ? z.output<T> : Record<never, never>;
type Raw<T> = T extends z.ZodType ? z.input<T> : Record<never, never>;
type Part<Name extends RouteName, Key> = Key extends keyof Contract[Name] ? Contract[Name][Key] : undefined;

/** What an operation's implementation is given: params, query and body in one object, validated. */
export type OperationInput<Name extends RouteName> = Parsed<Part<Name, 'params'>> &
  Parsed<Part<Name, 'query'>> &
  Parsed<Part<Name, 'body'>>;

/** What a client passes for an operation: the same before defaults are filled in. */
export type OperationArguments<Name extends RouteName> = Raw<Part<Name, 'params'>> &
  Raw<Part<Name, 'query'>> &
  Raw<Part<Name, 'body'>>;

export type OperationResult<Name extends RouteName> = z.output<Contract[Name]['response']>;

/** The daemon behind the API: one function an operation. */
export type ControlOperations = {
  [Name in RouteName]: (
    input: OperationInput<Name>,
    options: { signal: AbortSignal },
  ) => Promise<OperationResult<Name>> | OperationResult<Name>;
};

export type MessageView = z.output<typeof Message>;
export type PeerView = z.output<typeof Peer>;
export type KeyChangeView = z.output<typeof KeyChange>;
export type StatusView = z.output<typeof Status>;
export type SendLineView = z.output<typeof SendLine>;
export type SendLineAnswerView = z.output<typeof SendLineAnswer>;
export type EventView = z.output<typeof Event>;
export type ErrorView = z.output<typeof ErrorBody>;
