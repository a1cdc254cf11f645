import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf, programOf } from '../episodes/victims.ts';

interface Pause {
  victim: Victim;
  pausedMs: number;
}

/** SIGSTOP, and SIGCONT later: to the others it is there and says nothing. */
export const kind: FaultKind<Pause> = {
  name: 'pause',

  draw: (random, victims) => ({ victim: oneOf(random, victims), pausedMs: between(random, 100, 8_000) }),

  async play({ victim, pausedMs }, stage) {
    const program = programOf(stage, victim);
    if (program.running) program.pause();
    await delay(pausedMs, undefined, { signal: stage.signal });
    // In between it may have been killed and started anew; then this does nothing to it.
    if (program.running) program.resume();
  },
};
