import { setTimeout as delay } from 'node:timers/promises';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { between, oneOf, order, programOf } from '../episodes/victims.ts';

interface IoError {
  victim: Victim;
  /** Commits that fail. */
  commits: number;
  /** Longest until the disk works again. */
  brokenMs: number;
}

/** Commits that fail with EIO. */
export const kind: FaultKind<IoError> = {
  name: 'io-error',

  draw: (random, victims) => ({
    victim: oneOf(random, victims),
    commits: between(random, 1, 40),
    brokenMs: between(random, 200, 3_000),
  }),

  async play({ victim, commits, brokenMs }, stage) {
    const program = programOf(stage, victim);
    await order(program, { type: 'arm', point: '*', occurrence: 1, action: 'io-error', commits });
    try {
      await delay(brokenMs, undefined, { signal: stage.signal });
    } finally {
      await order(program, { type: 'disarm' });
    }
  },

  causes: [/^(?!.*a part of the daemon).*StoreError.*disk I\/O error/],
};
