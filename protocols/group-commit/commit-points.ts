import { channel } from 'node:diagnostics_channel';

/** Where a point stands: what it names is about to be on disk, or is, and nobody has been told yet. */
export type Moment = 'before-commit' | 'after-commit';

/**
 * Each message is the name of a point just passed: `<what>:<moment>`, where `what` is an operation of a store or a file.
 * Passed in the thread that commits; a subscriber runs before anything else does. The tests for crashes listen here.
 */
export const COMMIT_POINTS = 'tincan:commit-points';

const points = channel(COMMIT_POINTS);

/** Tells who listens that these are now about to reach the disk together, or have. Costs nothing when nobody does. */
export function passCommitPoint(moment: Moment, whats: Iterable<string>): void {
  if (!points.hasSubscribers) return;
  for (const what of new Set(whats)) points.publish(`${what}:${moment}`);
}
