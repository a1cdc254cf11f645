import { isLoopback, isPrivate } from '@libp2p/utils';
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';

/** Addresses of one peer that are dialled and remembered: several networks and a relay or two. */
const MAX_ADDRESSES = 16;

/** No multiaddr that can be dialled comes near: the longest host name has 253 characters. */
const MAX_ADDRESS_CHARACTERS = 600;

/** Host names may hold anything as far as multiaddrs go; what is shown in a terminal may not. */
const UNPRINTABLE = /[\s\p{Cc}\p{Cf}\p{Cs}]/u;

/**
 * An address at which a peer is said to be, without the peer's own /p2p/ at its end. Undefined when it is none, or leads to
 * another peer: such things come in other people's invites and records.
 */
export function addressOfPeer(text: string, peerId: string): Multiaddr | undefined {
  if (text.length > MAX_ADDRESS_CHARACTERS || UNPRINTABLE.test(text)) return undefined;
  let address: Multiaddr;
  try {
    address = multiaddr(text);
    // As it will be remembered: some of it may have been escaped, and be longer now.
    if (address.toString().length > MAX_ADDRESS_CHARACTERS) return undefined;
  } catch {
    return undefined;
  }
  const last = address.getComponents().at(-1);
  if (last?.code === CODE_P2P) {
    if (last.value !== peerId) return undefined;
    address = address.decapsulateCode(CODE_P2P);
  }
  const end = address.getComponents().at(-1);
  // A peer is not reached through another one without a relay between them.
  return end === undefined || end.code === CODE_P2P ? undefined : address;
}

/** Of addresses in text form, those that can lead to the peer, each once, no more than are worth a try. */
export function addressesOfPeer(texts: readonly string[], peerId: string): Multiaddr[] {
  const found = new Map<string, Multiaddr>();
  for (const text of texts) {
    if (found.size >= MAX_ADDRESSES) break;
    const address = addressOfPeer(text, peerId);
    if (address !== undefined) found.set(address.toString(), address);
  }
  return [...found.values()];
}

/** The farther an address can be used from, the earlier it stands: public, then private, then this machine only. */
export function byReach(addresses: readonly Multiaddr[]): Multiaddr[] {
  const rank = (address: Multiaddr): number => (isLoopback(address) ? 2 : isPrivate(address) ? 1 : 0);
  return addresses.toSorted((a, b) => rank(a) - rank(b));
}
