import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf, programOf } from '../episodes/victims.ts';

interface Kill {
  victim: Victim;
  /** Until it is started again. */
  downMs: number;
}

/** SIGKILL at any moment. */
export const kind: FaultKind<Kill> = {
  name: 'kill',

  draw: (random, victims) => ({ victim: oneOf(random, victims), downMs: between(random, 0, 3_000) }),

  async play({ victim, downMs }, stage) {
    const program = programOf(stage, victim);
    if (program.running) await program.kill();
    await delay(downMs, undefined, { signal: stage.signal });
    await stage.revive(victim);
  },
};
