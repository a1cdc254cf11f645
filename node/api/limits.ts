import { MAX_TEXT_BYTES } from '../../protocols/control/routes.ts';

/** What the API holds back, so that no client can fill the daemon's memory or starve the others. */

/** One character of JSON text can take six bytes (`\u0000`), and stands for at least one byte of UTF-8. */
const JSON_ESCAPE_BYTES = 6;

/** Characters of `to` (an invite is the longest) and `ref`, their escapes counted, and the names around them. */
const OTHER_FIELDS_BYTES = 32 * 1024;

/**
 * One body, or one line of the streaming send, in bytes: any message that is allowed fits, however it is escaped.
 */
export const MAX_JSON_BYTES = MAX_TEXT_BYTES * JSON_ESCAPE_BYTES + OTHER_FIELDS_BYTES;

/** Characters of a path parameter: an invite, which the contract ends at 4,096, percent-encoded. */
export const MAX_PARAM_CHARACTERS = 3 * 4096;

/** A request's line and headers, in bytes: the longest parameter and the usual headers. */
export const MAX_HEADER_BYTES = 24 * 1024;

/**
 * Messages of one streaming send that have not reached the state waited for; then the daemon reads no further. Sixteen
 * times what keeps two cores busy; each costs about 200 bytes here.
 */
export const MAX_UNANSWERED = 4096;

/** Connections at a time, on the socket and on the port each: a person's tools and bots, with room. */
export const MAX_CONNECTIONS = 256;

/** A client has this long to send its headers, else its connection is closed. */
export const HEADERS_TIMEOUT_MS = 10_000;

/** An idle connection is kept this long for a client's next request. */
export const KEEP_ALIVE_TIMEOUT_MS = 60_000;

/** Comments on an otherwise silent event stream: under the 30 s after which many proxies give up. */
export const HEARTBEAT_MS = 15_000;

/** After `stop`, requests still running are given this long to end with an answer. */
export const STOP_GRACE_MS = 500;

/** A client whose request is refused while it still writes is listened to this long, so that it gets to read why. */
export const LINGER_MS = 500;
