import { playEpisodes } from '../episodes/episodes.ts';
import { loadKinds } from '../episodes/kinds.ts';
import type { Part } from './part.ts';
import { seconds } from './part.ts';

/** A failing schedule may be shrunk for as long as it takes to play it some times. */
const SHRINK_MS = 300_000;

/** What an episode takes, its programs' start included. */
const EPISODE_MS = 25_000;

export const episodes: Part = {
  name: 'episodes',
  about: 'three people write to each other under drawn faults, again and again',
  weight: 8,
  fromMinutes: 0,
  async run({ seed, budgetMs, signal, log }) {
    const until = performance.now() + budgetMs;
    // One at least, however short the time.
    let first = true;
    const report = await playEpisodes({
      seed,
      kinds: await loadKinds(),
      mayGoOn() {
        const go = first || performance.now() + EPISODE_MS < until;
        first = false;
        return go;
      },
      shrinkMs: SHRINK_MS,
      signal,
      log,
    });
    const { played, failed, messages, faults, restMs, leftOut } = report;
    const middle = restMs[restMs.length >> 1];
    return {
      violations: failed === 0 ? [] : ['an episode broke a promise: see above'],
      leftOut,
      figures: [
        { name: 'episodes', value: `${played}` },
        { name: 'faults', value: `${faults}` },
        { name: 'messages, each delivered once and in order', value: `${messages}` },
        ...(middle === undefined
          ? []
          : [
              {
                name: 'from the end of the last fault until all is delivered, median; longest',
                value: `${seconds(middle)}; ${seconds(restMs.at(-1)!)}`,
              },
            ]),
      ],
    };
  },
};
