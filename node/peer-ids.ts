import { peerIdFromString } from '@libp2p/peer-id';
import type { PeerId } from '@libp2p/interface';

/** Parsed peer ids, so that a busy conversation does not parse one a message. Emptied when full. */
const MAX_CACHED = 10_000;
const cache = new Map<string, PeerId>();

/** The peer id of an Ed25519 key in base58. Tells names from peer ids without the cost of an error. */
const PEER_ID_CHARACTERS = 52;

/** The peer id behind its text form, or undefined when it is none of an Ed25519 key: only these can chat. */
export function parsePeerId(text: string): PeerId | undefined {
  const known = cache.get(text);
  if (known !== undefined) return known;
  if (text.length !== PEER_ID_CHARACTERS) return undefined;
  let peerId: PeerId;
  try {
    peerId = peerIdFromString(text);
  } catch {
    return undefined;
  }
  if (peerId.type !== 'Ed25519' || peerId.toString() !== text) return undefined;
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(text, peerId);
  return peerId;
}

/** As `parsePeerId`, for text this program has checked before. */
export function peerIdOf(text: string): PeerId {
  const peerId = parsePeerId(text);
  if (peerId === undefined) throw new TypeError(`not a peer id: ${text}`);
  return peerId;
}
