import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf } from '../episodes/victims.ts';

interface Loss {
  victim: Victim;
  /** Fractions of 1. */
  lost: number;
  doubled: number;
  lossyMs: number;
}

/** Some of the packets to and from a host vanish, and some come twice. */
export const kind: FaultKind<Loss> = {
  name: 'loss',
  needs: 'lab',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    // Beyond a fifth, each way, TCP hardly moves.
    lost: between(random, 0, 200) / 1_000,
    doubled: between(random, 0, 200) / 1_000,
    lossyMs: between(random, 500, 10_000),
  }),

  async play({ victim, lost, doubled, lossyMs }, { lab, signal }) {
    await lab!.weather(victim, { lost, doubled });
    await delay(lossyMs, undefined, { signal });
    await lab!.weather(victim, { lost: 0, doubled: 0 });
  },
};
