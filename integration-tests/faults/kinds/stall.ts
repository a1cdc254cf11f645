import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { outageMs } from '../episodes/outage.ts';
import { oneOf } from '../episodes/victims.ts';

interface Stall {
  victim: Victim;
  /** `in` is towards the victim. */
  direction: 'in' | 'out' | 'both';
  stalledMs: number;
}

/** Nothing moves any more, or one way only, on connections that stay open; new ones are made and carry nothing either. */
export const kind: FaultKind<Stall> = {
  name: 'stall',
  needs: 'proxies',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    direction: oneOf(random, ['in', 'out', 'both']),
    stalledMs: outageMs(random),
  }),

  async play({ victim, direction, stalledMs }, { proxies, signal }) {
    const proxy = proxies.get(victim)!;
    proxy.weather({ stalled: direction });
    await delay(stalledMs, undefined, { signal });
    proxy.heal();
  },
};
