import { setTimeout as delay } from 'node:timers/promises';
import type { NodeOperations } from '../../../node/store/operations.ts';
import { waitFor } from '../../harness/wait-for.ts';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { PEOPLE } from '../episodes/schedule.ts';
import { between, oneOf, order, programOf } from '../episodes/victims.ts';

interface UnfinishedIntake {
  victim: Victim;
  /** Until it is started: what is written to it meanwhile waits in its mailbox. */
  downMs: number;
  /** Before, or after the commit and before the mailbox is told. */
  moment: 'before-commit' | 'after-commit';
  /** The how manieth commit of blobs it dies at. */
  occurrence: number;
}

/** Commits what was in blobs together with the sessions they were of. */
const TAKE = 'sessions.take' satisfies keyof NodeOperations;

/** When nothing has waited for it, it lives. */
const PATIENCE_MS = 4_000;

/** SIGKILL after blobs out of a mailbox were opened, and before that is committed or acknowledged. */
export const kind: FaultKind<UnfinishedIntake> = {
  name: 'unfinished-intake',

  draw: (random) => ({
    victim: oneOf(random, PEOPLE),
    downMs: between(random, 500, 4_000),
    moment: random() < 0.75 ? 'before-commit' : 'after-commit',
    occurrence: between(random, 1, 3),
  }),

  async play({ victim, downMs, moment, occurrence }, stage) {
    const { signal } = stage;
    const program = programOf(stage, victim);
    if (program.running) await program.kill();
    await delay(downMs, undefined, { signal });
    await order(program, { type: 'arm-at-start', point: `${TAKE}:${moment}`, occurrence, action: 'kill' });
    // It may die before it is ready.
    await stage.revive(victim).catch(() => signal.throwIfAborted());
    const dead = waitFor('the end at the intake', () => !program.running, { signal, timeoutMs: PATIENCE_MS });
    await dead.catch(() => signal.throwIfAborted());
    await order(program, { type: 'disarm' });
    await stage.revive(victim);
  },
};
