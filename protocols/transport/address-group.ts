import type { Multiaddr } from '@multiformats/multiaddr';

/** Groups of 16 bits that make up an IPv6 address, and those of them that one customer of a network has at least. */
const IPV6_GROUPS = 8;
const IPV6_PREFIX_GROUPS = 4;

/** The groups of an IPv6 address, all of them, as numbers. */
function groupsOf(address: string): number[] {
  const [head = '', tail = ''] = address.split('::');
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [before, after] = [parse(head), parse(tail)];
  const missing = IPV6_GROUPS - before.length - after.length;
  return [...before, ...Array.from({ length: missing }, () => 0), ...after];
}

/** `::ffff:a.b.c.d`: an IPv4 address that came over an IPv6 socket. */
function isMapped(groups: readonly number[]): boolean {
  return groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
}

/**
 * What stands for everybody behind an address, in limits that peer ids can't be used for, since they cost nothing: an
 * IPv4 address, or the first 64 bits of an IPv6 address.
 */
export function addressGroup(address: Multiaddr): string {
  const [host] = address.getComponents();
  const value = host?.value ?? '';
  if (host?.name !== 'ip6') return value;
  const groups = groupsOf(value);
  if (isMapped(groups)) {
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 0xff])
      .join('.');
  }
  return groups
    .slice(0, IPV6_PREFIX_GROUPS)
    .map((group) => group.toString(16))
    .join(':');
}
