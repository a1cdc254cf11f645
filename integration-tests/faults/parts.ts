import { backlog } from './parts/backlog.ts';
import { commitPoints } from './parts/commit-points.ts';
import { episodes } from './parts/episodes.ts';
import { fuzz } from './parts/fuzz.ts';
import { hostile } from './parts/hostile.ts';
import type { Part } from './parts/part.ts';
import { soak } from './parts/soak.ts';
import { storm } from './parts/storm.ts';

/** What `npm run test:faults` does, in this order. Those that take what they need come before those that use what is left. */
export const PARTS: readonly Part[] = [commitPoints, backlog, storm, hostile, fuzz, soak, episodes];
