import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { outageMs } from '../episodes/outage.ts';
import { oneOf } from '../episodes/victims.ts';

interface Refuse {
  victim: Victim;
  refusedMs: number;
}

/** All connections to somebody break, and no new ones are to be had for a while. */
export const kind: FaultKind<Refuse> = {
  name: 'refuse',
  needs: 'proxies',

  draw: (random, victims) => ({ victim: oneOf(random, victims), refusedMs: outageMs(random) }),

  async play({ victim, refusedMs }, { proxies, signal }) {
    const proxy = proxies.get(victim)!;
    proxy.weather({ refusing: true });
    proxy.cut(0);
    await delay(refusedMs, undefined, { signal });
    proxy.heal();
  },
};
