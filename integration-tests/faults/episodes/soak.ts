import { randomFrom } from '../../harness/random.ts';
import { playEpisode } from './episode.ts';
import type { EpisodeResult } from './episode.ts';
import type { FaultKind, Stage } from './kind.ts';
import { ALLOWANCE, growth, heldBy } from '../load/resources.ts';
import type { Allowance, Held } from '../load/resources.ts';
import { drawSchedule, drawSeed, PEOPLE } from './schedule.ts';
import type { Network, Schedule } from './schedule.ts';

/** Faults a second: of the programs' kinds against one of the people, and as many of the network's against everybody. */
const RATE = 0.15;

/** Its programs are killed; the others have to stay up all the time, and small. */
const STRUCK = 'cyd';
const STEADY = [...PEOPLE.filter((who) => who !== STRUCK), 'bootstrap'];

/** Caches and the event log, which keeps ten thousand events, have filled by then. */
const WARM_SHARE = 0.6;

/** Garbage is collected before each look, so that a few bytes beyond the tenth are enough. */
const GROWTH: Allowance = { ...ALLOWANCE, bytes: 2 * 1024 * 1024 };

export interface SoakReport extends EpisodeResult {
  durationMs: number;
  faults: number;
  held: { who: string; warm: Held; end: Held }[];
}

/**
 * One long episode: everybody writes to everybody, one of them is killed again and again, the network fails for all, and
 * those that stay up must not grow.
 */
export async function soak({
  seed,
  durationMs,
  kinds,
  network,
  signal,
}: {
  seed: number;
  durationMs: number;
  kinds: readonly FaultKind[];
  network: Network;
  signal: AbortSignal;
}): Promise<SoakReport> {
  const schedule = drawSoak(seed, { durationMs, kinds, network });
  const held: SoakReport['held'] = [];
  const warm = new Map<string, Held>();

  const look = (stage: Stage, who: string): Promise<Held> =>
    heldBy((who === 'bootstrap' ? stage.bootstrap : stage.people.get(who)!).program);
  const result = await playEpisode(schedule, {
    kinds,
    signal,
    warmMs: durationMs * WARM_SHARE,
    async onWarm(stage) {
      for (const who of STEADY) warm.set(who, await look(stage, who));
    },
    async onRest(stage, ledger) {
      for (const [who, before] of warm) {
        const end = await look(stage, who);
        held.push({ who, warm: before, end });
        for (const what of growth(before, end, GROWTH)) ledger.violated(`${who}: ${what}`);
      }
    },
  });
  return { ...result, durationMs, faults: schedule.strikes.length, held };
}

function drawSoak(
  seed: number,
  { durationMs, kinds, network }: { durationMs: number; kinds: readonly FaultKind[]; network: Network },
): Schedule {
  const random = randomFrom(seed);
  const options = { durationMs, rate: RATE, network };
  const ofPrograms = kinds.filter(({ needs }) => needs === undefined);
  const ofNetwork = kinds.filter(({ needs }) => needs === network);
  const own = drawSchedule(drawSeed(random), { ...options, kinds: ofPrograms, victims: [STRUCK] });
  if (ofNetwork.length === 0) return own;
  const all = drawSchedule(drawSeed(random), { ...options, kinds: ofNetwork });
  const strikes = [...own.strikes, ...all.strikes].toSorted((a, b) => a.atMs - b.atMs);
  return { ...own, strikes };
}
