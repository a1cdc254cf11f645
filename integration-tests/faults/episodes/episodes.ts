import { randomFrom } from '../../harness/random.ts';
import { playEpisode } from './episode.ts';
import type { EpisodeResult } from './episode.ts';
import type { FaultKind } from './kind.ts';
import { drawSchedule, drawSeed } from './schedule.ts';
import type { Network, Schedule } from './schedule.ts';
import { shrink } from './shrink.ts';

/** Long enough for faults to overlap and for a paused program to be given up, short enough to be shrunk. */
const EPISODE_MS = 12_000;

/** Faults a second. */
const RATE = 0.6;

/** The networks in turn, so that a short run has each. */
const TURNS: readonly Network[] = ['proxies', 'lab', 'plain'];

/** A schedule that once failed may pass once by luck. */
const SHRINK_TRIES = 2;

/** Logs printed of an episode that failed. */
const PRINTED_CHARS = 40_000;

export interface EpisodesInit {
  seed: number;
  kinds: readonly FaultKind[];
  /** Asked before each episode: whether there is time for another one. */
  mayGoOn: () => boolean;
  /** How long a failing schedule may be shrunk. */
  shrinkMs: number;
  signal: AbortSignal;
  log: (line: string) => void;
}

export interface EpisodesReport {
  played: number;
  failed: number;
  messages: number;
  faults: number;
  /** From the end of the last fault until everything was delivered: one for each episode, in ascending order. */
  restMs: number[];
  /** Why some could not be played here. */
  leftOut: string[];
}

/** Plays episodes drawn from one seed, one after another. One that fails is shrunk, printed, and ends the run. */
export async function playEpisodes(init: EpisodesInit): Promise<EpisodesReport> {
  const { seed, kinds, mayGoOn, signal, log } = init;
  const random = randomFrom(seed);
  const report: EpisodesReport = { played: 0, failed: 0, messages: 0, faults: 0, restMs: [], leftOut: [] };
  const leftOut = new Set<string>();
  for (let turn = 0; mayGoOn() && report.failed === 0; turn++) {
    const network = TURNS[turn % TURNS.length]!;
    const schedule = drawSchedule(drawSeed(random), { kinds, durationMs: EPISODE_MS, rate: RATE, network });
    const result = await playEpisode(schedule, { kinds, signal });
    if (result.leftOut !== undefined) {
      leftOut.add(result.leftOut);
      continue;
    }
    report.played++;
    report.messages += result.messages;
    report.faults += schedule.strikes.length;
    report.restMs.push(result.restMs);
    log(line(schedule, result));
    if (result.violations.length === 0) continue;
    report.failed++;
    await explain(schedule, result, init);
  }
  report.restMs.sort((a, b) => a - b);
  report.leftOut = [...leftOut];
  return report;
}

/** One episode in a line. */
export function line(
  { network, strikes }: Schedule,
  { violations, messages, restMs }: EpisodeResult,
): string {
  const kinds = Map.groupBy(strikes, ({ kind }) => kind);
  const faults = [...kinds].map(([kind, of]) => (of.length === 1 ? kind : `${of.length} ${kind}`)).join(', ');
  const mark = violations.length === 0 ? '✔' : '✖';
  return `${mark} ${network.padEnd(8)}${messages} messages, at rest after ${(restMs / 1000).toFixed(1)} s, under: ${faults}`;
}

/** Prints what was broken, and the shortest schedule that still breaks it. */
async function explain(schedule: Schedule, result: EpisodeResult, init: EpisodesInit): Promise<void> {
  const { kinds, shrinkMs, signal, log } = init;
  log(`${result.logs?.slice(-PRINTED_CHARS) ?? ''}\n`);
  for (const violation of result.violations) log(`  ${violation}`);
  log(`  ${replay(schedule)}`);
  const deadline = performance.now() + shrinkMs;
  const strikes = await shrink(
    schedule.strikes,
    async (part) => {
      for (let tries = 0; tries < SHRINK_TRIES; tries++) {
        const { violations } = await playEpisode({ ...schedule, strikes: part }, { kinds, signal });
        if (violations.length > 0) return true;
      }
      return false;
    },
    () => performance.now() < deadline,
  );
  if (strikes.length < schedule.strikes.length) {
    log(
      `  ${strikes.length} of its ${schedule.strikes.length} faults are enough: ${replay({ ...schedule, strikes })}`,
    );
  }
}

function replay(schedule: Schedule): string {
  return `again with: npm run test:faults -- --schedule '${JSON.stringify(schedule)}'`;
}
