/**
 * Where each operation of the daemon API lives. Apart from the schemas in `contract.ts`, so that a client command can
 * call the daemon without loading a validator.
 */
export const routes = {
  status: { method: 'GET', path: '/v1/status' },
  identity: { method: 'GET', path: '/v1/identity' },
  lock: { method: 'POST', path: '/v1/lock' },
  unlock: { method: 'POST', path: '/v1/unlock' },
  backup: { method: 'POST', path: '/v1/backups' },
  claimName: { method: 'PUT', path: '/v1/name' },
  releaseName: { method: 'DELETE', path: '/v1/name' },
  peers: { method: 'GET', path: '/v1/peers' },
  whois: { method: 'GET', path: '/v1/peers/{who}' },
  verification: { method: 'GET', path: '/v1/peers/{who}/verification' },
  verify: { method: 'PUT', path: '/v1/peers/{who}/verification' },
  compareCode: { method: 'POST', path: '/v1/peers/{who}/verification/compare' },
  keyChange: { method: 'GET', path: '/v1/peers/{who}/key-change' },
  decideKeyChange: { method: 'POST', path: '/v1/peers/{who}/key-change' },
  contacts: { method: 'GET', path: '/v1/contacts' },
  addContact: { method: 'POST', path: '/v1/contacts' },
  removeContact: { method: 'DELETE', path: '/v1/contacts/{who}' },
  requests: { method: 'GET', path: '/v1/requests' },
  accept: { method: 'POST', path: '/v1/requests/{who}/accept' },
  decline: { method: 'POST', path: '/v1/requests/{who}/decline' },
  blocked: { method: 'GET', path: '/v1/blocked' },
  block: { method: 'PUT', path: '/v1/blocked/{who}' },
  unblock: { method: 'DELETE', path: '/v1/blocked/{who}' },
  invite: { method: 'POST', path: '/v1/invites' },
  invites: { method: 'GET', path: '/v1/invites' },
  revokeInvite: { method: 'DELETE', path: '/v1/invites/{id}' },
  connect: { method: 'POST', path: '/v1/connections' },
  disconnect: { method: 'DELETE', path: '/v1/connections/{who}' },
  send: { method: 'POST', path: '/v1/messages' },
  message: { method: 'GET', path: '/v1/messages/{id}' },
  retry: { method: 'POST', path: '/v1/messages/{id}/retry' },
  inbox: { method: 'GET', path: '/v1/inbox' },
  conversations: { method: 'GET', path: '/v1/conversations' },
  history: { method: 'GET', path: '/v1/conversations/{who}/messages' },
  search: { method: 'GET', path: '/v1/search' },
  markRead: { method: 'POST', path: '/v1/conversations/{who}/read' },
} as const satisfies Record<string, { method: 'GET' | 'POST' | 'PUT' | 'DELETE'; path: `/v1/${string}` }>;

export type RouteName = keyof typeof routes;

/** Server-sent events; `after` is the cursor of the last event seen. */
export const EVENTS_PATH = '/v1/events';

/** Newline-delimited JSON both ways, at the same time, on one POST. */
export const SEND_STREAM_PATH = '/v1/messages/stream';

export const OPENAPI_PATH = '/openapi.json';

/**
 * Why the daemon could not do what was asked. What each means, and the HTTP status it comes with:
 * the table below is what the server answers with and what the CLI takes its exit codes from.
 */
export const ERROR_STATUS = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  locked: 423,
  'rate-limited': 429,
  internal: 500,
  damaged: 500,
  'disk-error': 500,
  unavailable: 503,
  timeout: 504,
  'disk-full': 507,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** The states an outgoing message passes through, in this order; `failed` can follow `queued` or `stored`. */
export const MESSAGE_STATES = ['queued', 'stored', 'delivered', 'read', 'failed'] as const;

/** What a search may ask for at a time: a line that a person types, and a few screens of answers. */
export const MAX_QUERY_CHARS = 200;
export const MAX_FOUND = 200;

/** Text of one message, in bytes of UTF-8: what the chat protocol carries. */
export { MAX_TEXT_BYTES } from '../chat/limits.ts';
