import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../../harness/wait-for.ts';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { bootstrapOperations, daemonOperations } from '../commit-points/store-operations.ts';
import { between, oneOf, order, programOf } from '../episodes/victims.ts';

interface CommitPoint {
  victim: Victim;
  point: string;
  /** The how manieth time it is passed. */
  occurrence: number;
  action: 'kill' | 'stop';
  /** Until it is started again, or goes on. */
  downMs: number;
}

/** A point that is not passed in this time is left alone: what its operation is for does not happen now. */
const PATIENCE_MS = 3_000;

/** Between two attempts to let a stopped program go on: it may stop once more before it can be told not to. */
const RESUME_MS = 50;

/** SIGKILL or SIGSTOP right before or after something is committed. */
export const kind: FaultKind<CommitPoint> = {
  name: 'commit-point',

  draw(random, victims) {
    const victim = oneOf(random, victims);
    const operation = oneOf(random, victim === 'bootstrap' ? bootstrapOperations() : daemonOperations());
    return {
      victim,
      point: `${operation}:${oneOf(random, ['before-commit', 'after-commit'])}`,
      occurrence: between(random, 1, 4),
      action: random() < 0.75 ? 'kill' : 'stop',
      downMs: between(random, 0, 1_000),
    };
  },

  async play({ victim, point, occurrence, action, downMs }, stage) {
    const { signal } = stage;
    const program = programOf(stage, victim);
    await order(program, { type: 'arm', point, occurrence, action });
    if (action === 'kill') {
      const dead = waitFor(`the end at ${point}`, () => !program.running, { signal, timeoutMs: PATIENCE_MS });
      await dead.catch(() => signal.throwIfAborted());
    }
    await delay(downMs, undefined, { signal });
    const resuming = setInterval(() => program.running && program.resume(), RESUME_MS);
    try {
      await order(program, { type: 'disarm' });
    } finally {
      clearInterval(resuming);
    }
    await stage.revive(victim);
  },
};
