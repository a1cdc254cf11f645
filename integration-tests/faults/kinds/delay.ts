import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf } from '../episodes/victims.ts';

interface Delay {
  victim: Victim;
  /** One way: a round trip takes twice that. */
  delayMs: number;
  jitterMs: number;
  lateMs: number;
}

/** Whatever goes to somebody and comes back is late for a while. */
export const kind: FaultKind<Delay> = {
  name: 'delay',
  needs: 'proxies',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    delayMs: between(random, 1, 1_000),
    jitterMs: between(random, 0, 1_000),
    lateMs: between(random, 500, 8_000),
  }),

  async play({ victim, delayMs, jitterMs, lateMs }, { proxies, signal }) {
    const proxy = proxies.get(victim)!;
    proxy.weather({ delayMs, jitterMs });
    await delay(lateMs, undefined, { signal });
    proxy.heal();
  },
};
