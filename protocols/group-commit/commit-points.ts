import { channel } from 'node:diagnostics_channel';

/** What is about to be on disk, or is, and nobody has been told yet. */
export interface CommitPoint {
  moment: 'before-commit' | 'after-commit';
  /** What is committed together: the operation of each call, in their order, or the name of a file. */
  whats: readonly string[];
}

/**
 * Each message is a `CommitPoint` just passed, in the thread that commits; a subscriber runs before anything else does. The
 * tests for crashes listen here.
 */
export const COMMIT_POINTS = 'tincan:commit-points';

const points = channel(COMMIT_POINTS);

/** Tells who listens that something is about to reach the disk, or has. Costs nothing when nobody does. */
export function passCommitPoint(moment: CommitPoint['moment'], whats: Iterable<string>): void {
  if (points.hasSubscribers) points.publish({ moment, whats: [...whats] } satisfies CommitPoint);
}
