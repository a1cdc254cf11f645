import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomFrom } from '../../harness/random.ts';
import { playEpisodes } from './episodes.ts';
import { loadKinds } from './kinds.ts';
import { drawSeed } from './schedule.ts';

/** One in each kind of network. */
const EPISODES = 3;

/** Shrinking would outlast the time a file of tests has; `npm run test:faults` takes it. */
const SHRINK_MS = 0;

const seed = drawSeed(randomFrom(Date.now()));

void test(`what is promised is kept in ${EPISODES} episodes of seed ${seed}`, async (t) => {
  const said: string[] = [];
  let left = EPISODES;
  const report = await playEpisodes({
    seed,
    kinds: await loadKinds(),
    mayGoOn: () => left-- > 0,
    shrinkMs: SHRINK_MS,
    signal: t.signal,
    log: (line) => said.push(line),
  });
  assert.equal(report.failed, 0, said.join('\n'));
  for (const reason of report.leftOut) t.diagnostic(`left out: ${reason}`);
});
