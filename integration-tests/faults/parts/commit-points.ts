import { commitPoints as play } from '../commit-points/commit-points.ts';
import type { Part } from './part.ts';

const PRINTED_CHARS = 40_000;

/** What all points take on two cores, and one kill of them. */
const ALL_MS = 150_000;
const KILL_MS = 2_500;

/** Steps of the conversation in a run that has no time for all points. */
const SAMPLED_STEPS = 4;

export const commitPoints: Part = {
  name: 'commit-points',
  about: 'whoever is killed before and after each kind of commit keeps what was promised',
  weight: 5,
  fromMinutes: 5,
  async run({ seed, budgetMs, signal, log }) {
    const sample = { steps: SAMPLED_STEPS, kills: Math.max(1, Math.floor(budgetMs / KILL_MS)) };
    const options = { seed, signal, log, ...(budgetMs < ALL_MS && { sample }) };
    const { violations, killed, logs } = await play(options);
    if (violations.length > 0) log(logs.slice(-PRINTED_CHARS));
    return {
      violations: violations.map((violation) => `${violation} (seed ${seed})`),
      figures: [{ name: 'points at which somebody was killed', value: `${killed.length}` }],
    };
  },
};
