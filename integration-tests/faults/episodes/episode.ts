import { setTimeout as delay } from 'node:timers/promises';
import type { MessageView } from '../../../protocols/control/contract.ts';
import type { Daemon } from '../../harness/daemon.ts';
import { randomFrom } from '../../harness/random.ts';
import { openTown } from '../../harness/town.ts';
import { waitFor } from '../../harness/wait-for.ts';
import type { FaultKind, Stage } from './kind.ts';
import { Ledger } from './ledger.ts';
import { drawSeed, victimsOf } from './schedule.ts';
import type { Schedule, Strike } from './schedule.ts';
import { openStage } from './stage.ts';
import { talk } from './talk.ts';
import type { Speaker } from './talk.ts';
import { witness } from './witness.ts';

/**
 * After the last fault everything has to come to rest within this time, on a machine that is busy. A dial that waits for
 * its turn waits two minutes at the most.
 */
const REST_MS = 150_000;

/** Everything together: an episode that takes longer than this beyond its schedule hangs. */
const SPARE_MS = 300_000;

/** Messages a page when histories are compared. */
const PAGE = 1000;

export interface EpisodeResult {
  /** What was broken, in words. Empty for an episode that went well. */
  violations: readonly string[];
  /** Messages that were taken on. */
  messages: number;
  /** From the end of the last fault until everything was delivered. */
  restMs: number;
  /** Why it could not be played here; nothing was found out then. */
  leftOut?: string;
  /** What the programs said, when something was broken. */
  logs?: string;
}

export interface EpisodeOptions {
  kinds: readonly FaultKind[];
  signal: AbortSignal;
  /** When `onWarm` is called, from the beginning. */
  warmMs?: number;
  onWarm?(stage: Stage): Promise<void>;
  /** Called when everything was delivered, before the programs end. */
  onRest?(stage: Stage, ledger: Ledger): Promise<void>;
}

/**
 * Plays a schedule against programs of its own while everybody writes to everybody, then waits until all is at rest and
 * compares what was shown with what was promised.
 */
export async function playEpisode(schedule: Schedule, options: EpisodeOptions): Promise<EpisodeResult> {
  const late = AbortSignal.timeout(schedule.durationMs + REST_MS + SPARE_MS);
  const signal = AbortSignal.any([options.signal, late]);
  await using town = await openTown({ signal });
  const ledger = new Ledger();
  let restMs = 0;
  try {
    const opened = await openStage(schedule, { town, signal });
    if ('missing' in opened) return { violations: [], messages: 0, restMs, leftOut: opened.missing };
    await using stage = opened;
    restMs = await play(schedule, stage, ledger, options);
    await options.onRest?.(stage, ledger);
    for (const line of unexplained(stage, schedule, options.kinds)) ledger.violated(line);
  } catch (error) {
    options.signal.throwIfAborted();
    ledger.violated(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const { violations, queued } = ledger;
  return { violations, messages: queued, restMs, ...(violations.length > 0 && { logs: town.logs() }) };
}

async function play(
  schedule: Schedule,
  stage: Stage,
  ledger: Ledger,
  { kinds, warmMs = 0, onWarm }: EpisodeOptions,
): Promise<number> {
  const { signal, people } = stage;
  const over = new AbortController();
  const speakers = [...people].map(([who, daemon]): Speaker => ({ who, daemon }));
  const byPeerId = new Map(speakers.map((speaker) => [speaker.daemon.peerId, speaker]));
  const until = AbortSignal.any([signal, AbortSignal.timeout(schedule.durationMs)]);
  const watching = AbortSignal.any([signal, over.signal]);

  const random = randomFrom(schedule.seed);
  const witnesses = speakers.map(({ who, daemon }) =>
    witness({ who, daemon, others: byPeerId, ledger, signal: watching }),
  );
  const talks = speakers.flatMap((from) =>
    speakers
      .filter((to) => to !== from)
      .map((to) => talk({ from, to, ledger, random: randomFrom(drawSeed(random)), until, signal })),
  );
  const warm = delay(warmMs, undefined, { signal }).then(() => onWarm?.(stage));
  await Promise.all([playStrikes(schedule.strikes, kinds, stage), warm, ...talks]);

  const from = performance.now();
  await Promise.all(speakers.map(({ who, daemon }) => atRest(who, daemon, signal)));
  const restMs = performance.now() - from;
  over.abort();
  await Promise.all(witnesses);

  const histories = await Promise.all(
    speakers.flatMap((one) =>
      speakers
        .filter((other) => other !== one)
        .map(async (other) => ({ one, other, page: await historyOf(one.daemon, other.daemon, signal) })),
    ),
  );
  for (const { one, other, page } of histories) {
    ledger.reads(one.who, other.who, page);
    const received = histories.find((entry) => entry.one === other && entry.other === one)!.page;
    const isOwn = ({ from }: MessageView): boolean => from === one.daemon.peerId;
    ledger.settles(one.who, other.who, page.filter(isOwn), received.filter(isOwn));
  }
  return restMs;
}

/** Plays each fault at its time. Those that strike the same program wait for one another. */
async function playStrikes(
  strikes: readonly Strike[],
  kinds: readonly FaultKind[],
  stage: Stage,
): Promise<void> {
  const start = performance.now();
  const busy = new Map<string, Promise<void>>();
  const played = strikes.map((strike) => {
    const kind = kinds.find(({ name }) => name === strike.kind);
    if (kind === undefined) throw new Error(`there is no fault of the kind ${strike.kind}`);
    const victims = victimsOf(strike);
    const before = victims.map((victim) => busy.get(victim)).filter((done) => done !== undefined);
    const run = async (): Promise<void> => {
      await Promise.all(before);
      const wait = strike.atMs - (performance.now() - start);
      if (wait > 0) await delay(wait, undefined, { signal: stage.signal });
      await kind.play(strike.params, stage);
    };
    const done = run().catch((error: unknown) => {
      throw new Error(`${JSON.stringify(strike)} could not be played: ${(error as Error).message}`, {
        cause: error,
      });
    });
    for (const victim of victims) busy.set(victim, done);
    return done;
  });
  await Promise.all(played);
}

/** Waits until all that somebody wrote is with its recipients. */
async function atRest(who: string, daemon: Daemon, signal: AbortSignal): Promise<void> {
  let left = 'it does not answer';
  await waitFor(
    `the outbox of ${who} to be empty`,
    async () => {
      const { outbox } = await daemon.client.call('status', {}, { signal });
      left = `${outbox.messages} messages are in it`;
      return outbox.messages === 0;
    },
    { signal, timeoutMs: REST_MS },
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; ${left}`, { cause: error });
  });
}

async function historyOf(daemon: Daemon, other: Daemon, signal: AbortSignal): Promise<MessageView[]> {
  const found: MessageView[] = [];
  for (let before: string | undefined; ;) {
    const page = await daemon.client.call('history', { who: other.peerId, limit: PAGE, before }, { signal });
    found.unshift(...page.messages);
    if (page.next === null) return found;
    before = page.next;
  }
}

/** Error lines in logs that no fault of the schedule is the cause of. */
function unexplained({ town }: Stage, { strikes }: Schedule, kinds: readonly FaultKind[]): string[] {
  const played = new Set(strikes.map(({ kind }) => kind));
  const causes = kinds.filter(({ name }) => played.has(name)).flatMap((kind) => kind.causes ?? []);
  return town.errors().filter((line) => !causes.some((cause) => cause.test(line)));
}
