import { getThinWaistAddresses, isPrivate } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import type { BootstrapConfig } from './config.ts';

function isPrivateAddress(address: Multiaddr): boolean {
  try {
    return isPrivate(address);
  } catch {
    // A DNS name: nobody announces one for a network without names.
    return false;
  }
}

/**
 * Whether this node is on a private network as a whole (loopback, a LAN): no address it announces, or else has, is a
 * public one. The DHT then has to pass private addresses on, which it must not do on the Internet.
 */
export function isPrivateNetwork({
  announce,
  listen,
}: Pick<BootstrapConfig, 'announce' | 'listen'>): boolean {
  const addresses =
    announce.length > 0
      ? announce.map((address) => multiaddr(address))
      : listen.flatMap((address) => getThinWaistAddresses(multiaddr(address)));
  return addresses.every(isPrivateAddress);
}
