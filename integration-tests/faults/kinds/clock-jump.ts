import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf, order, programOf } from '../episodes/victims.ts';

interface ClockJump {
  victim: Victim;
  offsetMs: number;
  /** Until the clock is right again. */
  wrongMs: number;
  /** It is killed and started again in the middle, under the wrong clock. */
  restart: boolean;
}

const HOUR_MS = 3_600_000;
const TEN_YEARS_MS = 10 * 365 * 24 * HOUR_MS;

/** A clock that is set wrong, and set right again. */
export const kind: FaultKind<ClockJump> = {
  name: 'clock-jump',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    offsetMs: oneOf(random, [HOUR_MS, -HOUR_MS, TEN_YEARS_MS, -TEN_YEARS_MS]),
    wrongMs: between(random, 500, 6_000),
    restart: random() < 0.25,
  }),

  async play({ victim, offsetMs, wrongMs, restart }, stage) {
    const program = programOf(stage, victim);
    const options = { signal: stage.signal };
    await order(program, { type: 'clock', offsetMs });
    try {
      await delay(wrongMs / 2, undefined, options);
      if (restart && program.running) {
        await program.kill();
        await stage.revive(victim);
      }
      await delay(wrongMs / 2, undefined, options);
    } finally {
      await order(program, { type: 'clock', offsetMs: 0 });
    }
  },
};
