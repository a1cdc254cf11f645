import { hash, randomBytes } from 'node:crypto';
import { InvalidNameError, normaliseName } from '../protocols/phonebook/name.ts';
import { addressOfPeer } from './peer-addresses.ts';
import { parsePeerId } from './peer-ids.ts';

/** What an invite holds: who, under which name, where, and a token that shows it was asked for. */
export interface Invite {
  peerId: string;
  name: string | null;
  /** Without the /p2p/ part of the peer itself. */
  multiaddrs: string[];
  token: string | null;
}

const SCHEME = /^\s*tincan:/i;

/** Addresses in one invite: enough for a home and a relay, few enough for a QR code that a phone can read. */
const MAX_MULTIADDRS = 6;
const MAX_INVITE_CHARACTERS = 2000;
const TOKEN_BYTES = 16;

/** Ours have 22 characters; later versions may want longer ones. */
const TOKEN = /^[\w-]{1,64}$/;

export function newInviteToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** By what the inviter knows its token again; the token itself is kept nowhere. */
export function hashOfToken(token: string | Uint8Array): Uint8Array {
  return hash('sha256', token, 'buffer');
}

/**
 * `tincan:<peer id>?n=<name>&a=<multiaddr>…&t=<token>`. Addresses that are too many or too long for an invite are left
 * out, the last ones first.
 */
export function formatInvite({ peerId, name, multiaddrs, token }: Invite): string {
  const write = (addresses: readonly string[]): string => {
    const query = new URLSearchParams();
    if (name !== null) query.set('n', name);
    for (const address of addresses) query.append('a', address);
    if (token !== null) query.set('t', token);
    const text = query.toString().replaceAll('%2F', '/');
    return `tincan:${peerId}${text === '' ? '' : `?${text}`}`;
  };
  let addresses = multiaddrs.slice(0, MAX_MULTIADDRS);
  while (addresses.length > 0 && write(addresses).length > MAX_INVITE_CHARACTERS)
    addresses = addresses.slice(0, -1);
  return write(addresses);
}

/** Whether a text means to be an invite, be it a whole one or not. */
export function isInvite(text: string): boolean {
  return SCHEME.test(text);
}

/**
 * Reads an invite. Fields that are not known here are passed over.
 *
 * @throws SyntaxError that says what is wrong with it
 */
export function parseInvite(given: string): Invite {
  const text = given.trim();
  if (text.length > MAX_INVITE_CHARACTERS)
    throw new SyntaxError(`an invite has at most ${MAX_INVITE_CHARACTERS} characters`);
  const rest = text.replace(SCHEME, '');
  const queryAt = rest.indexOf('?');
  const peerId = queryAt === -1 ? rest : rest.slice(0, queryAt);
  if (parsePeerId(peerId) === undefined)
    throw new SyntaxError('the invite has no valid peer id after "tincan:"');
  const fields = readQuery(queryAt === -1 ? '' : rest.slice(queryAt + 1));
  const addresses = fields.getAll('a');
  if (addresses.length > MAX_MULTIADDRS)
    throw new SyntaxError(`an invite has at most ${MAX_MULTIADDRS} addresses`);
  return {
    peerId,
    name: readName(single(fields, 'n')),
    multiaddrs: addresses.map((address) => readAddress(address, peerId)),
    token: readToken(single(fields, 't')),
  };
}

function readQuery(query: string): URLSearchParams {
  try {
    // URLSearchParams takes any text for a query; this does not.
    decodeURIComponent(query);
  } catch (error) {
    throw new SyntaxError('the invite is damaged: a "%" in it stands for nothing', { cause: error });
  }
  return new URLSearchParams(query);
}

function single(fields: URLSearchParams, field: string): string | null {
  const values = fields.getAll(field);
  if (values.length > 1) throw new SyntaxError(`the invite has "${field}=" more than once`);
  return values[0] ?? null;
}

function readName(name: string | null): string | null {
  if (name === null) return null;
  try {
    return normaliseName(name);
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw new SyntaxError(`the invite has a name that can be none: ${error.message}`, { cause: error });
  }
}

function readAddress(address: string, peerId: string): string {
  const own = addressOfPeer(address, peerId);
  if (own === undefined)
    throw new SyntaxError(
      `the invite has an address that does not lead to its peer: ${JSON.stringify(address)}`,
    );
  return own.toString();
}

function readToken(token: string | null): string | null {
  if (token !== null && !TOKEN.test(token)) throw new SyntaxError('the invite has a damaged token');
  return token;
}
