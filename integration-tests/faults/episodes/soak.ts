import { randomFrom } from '../../harness/random.ts';
import { playEpisode } from './episode.ts';
import type { EpisodeResult } from './episode.ts';
import type { FaultKind, Stage } from './kind.ts';
import { resourcesOf } from '../load/resources.ts';
import { drawSchedule, drawSeed, PEOPLE } from './schedule.ts';
import type { Network, Schedule } from './schedule.ts';

/** Faults a second: of the programs' kinds against one of the people, and as many of the network's against everybody. */
const RATE = 0.15;

/** Its programs are killed; the others have to stay up all the time, and small. */
const STRUCK = 'cyd';
const STEADY = [...PEOPLE.filter((who) => who !== STRUCK), 'bootstrap'];

/** Caches and the event log, which keeps ten thousand events, have filled by then. */
const WARM_SHARE = 0.6;

/** What may be there beyond what there was after warm-up: a tenth, and a connection or two that come and go. */
const GROWTH = { share: 0.1, bytes: 4_000_000, handles: 5 };

/** What a program holds on to. */
interface Held {
  /** Heap and buffers of its main thread, garbage collected. What V8 has of the machine beyond that says little. */
  bytes: number;
  handles: number;
}

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

  const look = async (stage: Stage, who: string): Promise<Held> => {
    const { program } = who === 'bootstrap' ? stage.bootstrap : stage.people.get(who)!;
    const { heapUsed, external } = await program.tell({ type: 'collect-garbage' });
    return { bytes: heapUsed + external, handles: (await resourcesOf(program.pid))?.handles ?? 0 };
  };
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
        if (end.bytes > before.bytes * (1 + GROWTH.share) + GROWTH.bytes)
          ledger.violated(`${who} held ${before.bytes} bytes after warm-up, and ${end.bytes} at the end`);
        if (end.handles > before.handles * (1 + GROWTH.share) + GROWTH.handles)
          ledger.violated(
            `${who} had ${before.handles} handles after warm-up, and ${end.handles} at the end`,
          );
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
