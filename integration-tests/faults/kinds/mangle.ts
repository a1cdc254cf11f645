import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { MANGLINGS } from '../network/courier.ts';
import type { Mangling } from '../network/courier.ts';
import { between, oneOf } from '../episodes/victims.ts';

interface Mangle {
  victim: Victim;
  how: Mangling;
  /** Connections on which nothing has come by then are let be. */
  withinMs: number;
}

/** The next bytes on each connection to somebody are lost, doubled, swapped or flipped: it can't be used any more. */
export const kind: FaultKind<Mangle> = {
  name: 'mangle',
  needs: 'proxies',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    how: oneOf(random, MANGLINGS),
    withinMs: between(random, 100, 3_000),
  }),

  async play({ victim, how, withinMs }, { proxies, signal }) {
    const proxy = proxies.get(victim)!;
    proxy.mangle(how);
    await delay(withinMs, undefined, { signal });
    proxy.heal();
  },
};
