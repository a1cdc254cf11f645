import type { Random } from '../../harness/random.ts';
import { between } from './victims.ts';

/** One outage in so many is a long one. */
const LONG_ONE_IN = 10;

/**
 * How long a network is out. Mostly so short that connections live through it; now and then so long that the programs
 * give them up, and TCP's own attempts have become rare when it ends.
 */
export function outageMs(random: Random): number {
  return random() < 1 / LONG_ONE_IN ? between(random, 10_000, 40_000) : between(random, 300, 8_000);
}
