/** What becomes of packets to and from a host. */
export interface HostWeather {
  /** This part of them vanishes, a fraction of 1. */
  lost: number;
  /** This part of them comes twice, a fraction of 1. */
  doubled: number;
  /** Packets to the host are this late, and up to `jitterMs` more or less, out of order then. Only where the lab `delays`. */
  delayMs?: number;
  jitterMs?: number;
}

/** In how many parts chance is cut. */
const PARTS = 10_000;

/**
 * The router's rules, for `nft -f`: all of them anew, in one step. The kernel throws the dice, so that what a seed gives
 * again is how often, not which.
 */
export function routerRules(
  cuts: readonly { from: string; to: string }[],
  hosts: readonly ({ address: string } & HostWeather)[],
): string {
  const chance = (rate: number): string => `numgen random mod ${PARTS} < ${Math.round(rate * PARTS)}`;
  const rules = cuts.map(({ from, to }) => `ip saddr ${from} ip daddr ${to} drop`);
  for (const { address, lost, doubled } of hosts) {
    for (const direction of ['saddr', 'daddr']) {
      if (lost > 0) rules.push(`ip ${direction} ${address} ${chance(lost)} drop`);
      if (doubled > 0) rules.push(`ip ${direction} ${address} ${chance(doubled)} dup to ip daddr`);
    }
  }
  return `
add table ip lab
delete table ip lab
table ip lab {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ${rules.join('\n    ')}
  }
}
`;
}
