import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import type { CutHow } from '../network/proxy.ts';
import { between, oneOf } from '../episodes/victims.ts';

interface Cut {
  victim: Victim;
  /** Each connection carries so much more. */
  afterBytes: number;
  how: CutHow;
  /** Connections that have not carried it by then are let be. */
  withinMs: number;
}

/** All connections to somebody break, in the middle of a frame as like as not. */
export const kind: FaultKind<Cut> = {
  name: 'cut',
  needs: 'proxies',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    // As often in the first frame as in the hundredth.
    afterBytes: Math.floor(10 ** (random() * 5)) - 1,
    how: oneOf(random, ['reset', 'closed']),
    withinMs: between(random, 0, 3_000),
  }),

  async play({ victim, afterBytes, how, withinMs }, { proxies, signal }) {
    const proxy = proxies.get(victim)!;
    proxy.cut(afterBytes, how);
    await delay(withinMs, undefined, { signal });
    proxy.heal();
  },
};
