import { randomBytes } from 'node:crypto';
import { multiaddr } from '@multiformats/multiaddr';
import { parsePeerId } from './peer-ids.ts';

/** What an invite holds: who, under which name, where, and a token that shows it was asked for. */
export interface Invite {
  peerId: string;
  name: string | null;
  multiaddrs: string[];
  token: string | null;
}

const SCHEME = 'tincan:';

/** Addresses in one invite: enough for a home and a relay, few enough for a QR code that a phone can read. */
const MAX_MULTIADDRS = 6;
const MAX_INVITE_CHARACTERS = 2000;
const TOKEN_BYTES = 16;

export function newInviteToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** `tincan:<peer id>?n=<name>&a=<multiaddr>…&t=<token>` */
export function formatInvite({ peerId, name, multiaddrs, token }: Invite): string {
  const query = new URLSearchParams();
  if (name !== null) query.set('n', name);
  for (const address of multiaddrs.slice(0, MAX_MULTIADDRS)) query.append('a', address);
  if (token !== null) query.set('t', token);
  const text = query.toString().replaceAll('%2F', '/');
  return `${SCHEME}${peerId}${text === '' ? '' : `?${text}`}`;
}

export function isInvite(text: string): boolean {
  return text.startsWith(SCHEME);
}

/**
 * Reads an invite.
 *
 * @throws SyntaxError that says what is wrong with it
 */
export function parseInvite(text: string): Invite {
  if (text.length > MAX_INVITE_CHARACTERS)
    throw new SyntaxError(`an invite has at most ${MAX_INVITE_CHARACTERS} characters`);
  const [peerId = '', query = ''] = text.slice(SCHEME.length).split('?', 2);
  if (parsePeerId(peerId) === undefined)
    throw new SyntaxError('the invite has no valid peer id after "tincan:"');
  const fields = new URLSearchParams(query);
  const multiaddrs = fields.getAll('a').slice(0, MAX_MULTIADDRS);
  for (const address of multiaddrs) {
    try {
      multiaddr(address);
    } catch (error) {
      throw new SyntaxError(`the invite has a malformed address: ${address}`, { cause: error });
    }
  }
  return { peerId, name: fields.get('n'), multiaddrs, token: fields.get('t') };
}
