import { commitPoints as play } from '../commit-points.ts';
import type { Part } from './part.ts';

const PRINTED_CHARS = 40_000;

export const commitPoints: Part = {
  name: 'commit-points',
  about: 'whoever is killed before and after each kind of commit keeps what was promised',
  weight: 5,
  fromMinutes: 5,
  async run({ seed, signal, log }) {
    const { violations, killed, unused, logs } = await play({ seed, signal, log });
    if (violations.length > 0) log(logs.slice(-PRINTED_CHARS));
    return {
      violations: violations.map((violation) => `${violation} (seed ${seed})`),
      figures: [
        { name: 'points at which somebody was killed', value: `${killed.length}` },
        {
          name: 'operations of a store that the conversation does not use',
          value: unused.join(', ') || 'none',
        },
      ],
    };
  },
};
