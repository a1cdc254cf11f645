import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../../harness/wait-for.ts';
import type { FaultKind, Victim } from '../kind.ts';
import { bootstrapOperations, daemonOperations } from '../store-operations.ts';
import { between, oneOf, order, programOf } from '../victims.ts';

interface CommitPoint {
  victim: Victim;
  point: string;
  /** The how manieth time it is passed. */
  occurrence: number;
  /** Until it is started again. */
  downMs: number;
}

/** A point that is not passed in this time is left alone: what its operation is for does not happen now. */
const PATIENCE_MS = 3_000;

/** SIGKILL right before or after something is committed. */
export const kind: FaultKind<CommitPoint> = {
  name: 'commit-point',

  draw(random, victims) {
    const victim = oneOf(random, victims);
    const operation = oneOf(random, victim === 'bootstrap' ? bootstrapOperations() : daemonOperations());
    return {
      victim,
      point: `${operation}:${oneOf(random, ['before-commit', 'after-commit'])}`,
      occurrence: between(random, 1, 4),
      downMs: between(random, 0, 1_000),
    };
  },

  async play({ victim, point, occurrence, downMs }, stage) {
    const program = programOf(stage, victim);
    await order(program, { type: 'arm', point, occurrence, action: 'kill' });
    const options = { signal: stage.signal, timeoutMs: PATIENCE_MS };
    await waitFor(`the end at ${point}`, () => !program.running, options).catch((error: unknown) => {
      if (stage.signal.aborted) throw error;
    });
    await order(program, { type: 'disarm' });
    await delay(downMs, undefined, { signal: stage.signal });
    await stage.revive(victim);
  },
};
