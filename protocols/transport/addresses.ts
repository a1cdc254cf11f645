import { InvalidParametersError } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import './multiaddr-limits.ts';

/** A host name has 253 at the most; the rest is ports, peer ids and a relay. Reading takes time by the square of the length. */
const MAX_CHARACTERS = 1000;

/**
 * Reads a configured multiaddr.
 *
 * @param field the setting it came from, for the error
 * @throws InvalidParametersError
 */
export function parseMultiaddr(field: string, value: string): Multiaddr {
  if (value.length > MAX_CHARACTERS)
    throw new InvalidParametersError(`${field}: a multiaddr has at most ${MAX_CHARACTERS} characters`);
  try {
    const read = multiaddr(value);
    // Some components are looked at only when they are written out: now, then, and not when somebody is dialled.
    return multiaddr(multiaddr(read.bytes).toString());
  } catch (error) {
    throw new InvalidParametersError(
      `${field}: "${value}" is not a multiaddr (${(error as Error).message}); write it like /ip4/192.0.2.1/tcp/4001`,
    );
  }
}

/**
 * Checks an address to listen on: libp2p passes over the ones it has no transport for without a word.
 *
 * @throws InvalidParametersError
 */
export function checkListenAddress(value: string): void {
  const names = parseMultiaddr('listen', value)
    .getComponents()
    .map(({ name }) => name);
  if (names.includes('p2p-circuit')) return;
  const [host, transport] = names;
  if (names.length === 2 && (host === 'ip4' || host === 'ip6') && transport === 'tcp') return;
  throw new InvalidParametersError(
    `listen: "${value}" is not an address to listen on; write it like /ip4/0.0.0.0/tcp/4001 or /ip6/::/tcp/4001`,
  );
}
