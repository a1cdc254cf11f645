import { setTimeout as delay } from 'node:timers/promises';
import type { MessageView } from '../../../protocols/control/contract.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Program } from '../../harness/program.ts';
import { randomFrom } from '../../harness/random.ts';
import { openTown } from '../../harness/town.ts';
import type { Town } from '../../harness/town.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { STEPS } from './conversation.ts';
import type { Cast, Player, Step } from './conversation.ts';
import { checkDead } from './dead-daemon.ts';
import { firstStarts } from './first-starts.ts';
import { Ledger } from '../episodes/ledger.ts';
import type { Passed } from '../hook/orders.ts';
import { bootstrapOperations, daemonOperations } from './store-operations.ts';
import { order } from '../episodes/victims.ts';
import { witness } from '../episodes/witness.ts';

/** A point at which somebody is killed. */
interface Kill {
  victim: Player;
  point: string;
  /** Steps of the conversation that pass it, the surest first. */
  passages: Passage[];
}

interface Passage {
  step: Step;
  /** It is passed by a process that the step starts. */
  atStart: boolean;
}

export interface CommitPointsOptions {
  seed: number;
  signal: AbortSignal;
  log: (line: string) => void;
  /** Only these: victim and point, as `killed` of an earlier run named them. */
  only?: readonly string[];
  /** No more steps and kills than this, drawn by the seed. Everything unless said. */
  sample?: { steps: number; kills: number };
}

export interface CommitPointsResult {
  /** What was broken, in words. */
  violations: readonly string[];
  /** Where somebody was killed: victim and point. */
  killed: readonly string[];
  /** Points that were passed before, and not when somebody was to be killed there. */
  missed: readonly string[];
  /** Operations of the stores that no step played has used. Where every step was played, that is broken as well. */
  unused: readonly string[];
  /** What the programs said, when something was broken. */
  logs: string;
}

const PLAYERS: readonly Player[] = ['ada', 'ben', 'bootstrap'];

/** What is done in the background of a step comes this much later. */
const LATE_MS = 150;

/** After the last kill, everything has to be delivered in this time. A dial that waits its turn waits for two minutes. */
const REST_MS = 150_000;

/** How long a step is given to go on, when its victim is back. */
const PLAY_ON_MS = 6_000;

/** Steps that are tried to make somebody pass a point. */
const TRIES = 3;

/** Between two looks at whether somebody has died. */
const LOOK_MS = 2;

/** How often a program that is killed while it starts is started again. */
const STARTS = 3;

/** Operations that no conversation between people who keep to the protocols uses, and why. */
const NOT_FOR_EVERYDAY: Record<string, string> = {
  'messages.refused': 'a message is refused only where a protocol was broken',
  'mailbox.expire': 'runs an hour after the start, over what is three weeks old',
  'prekeys.expire': 'runs an hour after the start, over what is a month old',
  'sessions.expire': 'runs an hour after the start, over what is a month old',
  'sessions.lost': 'a friend loses its sessions only with its disk, or on an old copy of its store',
  'messages.unstored': 'the same',
  'sessions.forget-outgoing': 'for who runs on an old copy of its store',
  'key-changes.put': 'a name goes to another key only where a phonebook gave it away',
  'key-changes.accept': 'the same',
  'contacts.add': 'for the key that a name has gone to; whoever else becomes a contact is accepted',
};

/**
 * Kills each program once at each point at which its state reaches the disk, while people write to each other, and looks
 * whether what was promised is kept. The points are found by playing the conversation once without faults.
 */
export async function commitPoints(options: CommitPointsOptions): Promise<CommitPointsResult> {
  const { seed, signal, log } = options;
  await using town = await openTown({ signal });
  const ledger = new Ledger();
  const cast = await openCast(town, ledger, signal);
  const over = new AbortController();
  const watching = AbortSignal.any([signal, over.signal]);
  const people = { ada: cast.ada, ben: cast.ben };
  const byPeerId = new Map(Object.entries(people).map(([who, daemon]) => [daemon.peerId, { who, daemon }]));
  const witnesses = Object.entries(people).map(([who, daemon]) =>
    witness({ who, daemon, others: byPeerId, ledger, signal: watching }),
  );

  const random = randomFrom(seed);
  const shuffled = <T>(list: readonly T[]): T[] =>
    list
      .map((value) => ({ value, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value);
  const steps = options.sample === undefined ? STEPS : shuffled(STEPS).slice(0, options.sample.steps);
  const { kills, unused } = await discover(cast, steps);
  log(`${steps.length} steps pass ${kills.length} points at which something changes`);
  const wanted =
    options.only === undefined
      ? shuffled(kills)
      : kills.filter((kill) => options.only!.includes(nameOf(kill)));
  const killed: string[] = [];
  const missed: string[] = [];
  for (const kill of wanted.slice(0, options.sample?.kills)) {
    const from = performance.now();
    let where: string | undefined;
    const inVain: string[] = [];
    for (const passage of kill.passages.slice(0, TRIES)) {
      const { died, failure } = await killAt(kill, passage, cast);
      if (died) where = passage.step.name;
      if (where !== undefined) break;
      inVain.push(failure === undefined ? passage.step.name : `${passage.step.name}: ${failure}`);
    }
    (where === undefined ? missed : killed).push(nameOf(kill));
    const outcome = where === undefined ? `not passed (${inVain.join('; ')})` : `killed (${where})`;
    log(`${nameOf(kill)}: ${outcome}, ${Math.round(performance.now() - from)} ms`);
    if (ledger.violations.length > 0) {
      ledger.violated(`that was when somebody was killed at: ${nameOf(kill)}`);
      break;
    }
  }
  if (options.sample === undefined && options.only === undefined)
    killed.push(
      ...(await firstStarts({ folder: town.folder, violated: (what) => ledger.violated(what), log })),
    );
  const from = performance.now();
  if (ledger.violations.length === 0) await settle(cast);
  log(`at rest after ${Math.round(performance.now() - from)} ms`);
  over.abort();
  await Promise.all(witnesses);
  if (options.sample === undefined)
    for (const operation of unused) ledger.violated(`no step of the conversation uses ${operation}`);
  return { violations: ledger.violations, killed, missed, unused, logs: town.logs() };
}

const nameOf = ({ victim, point }: Kill): string => `${victim}, ${point}`;

const programOf = (cast: Cast, player: Player): Program =>
  player === 'bootstrap' ? cast.bootstrap.program : cast[player].program;

async function openCast(town: Town, ledger: Ledger, signal: AbortSignal): Promise<Cast> {
  const bootstrap = await town.bootstrap({ hook: true });
  const [ada, ben] = await Promise.all([
    town.daemon('ada', { bootstrap: [bootstrap], hook: true }),
    town.daemon('ben', { name: 'ben', bootstrap: [bootstrap], hook: true }),
  ]);
  await Promise.all([ada.knows(ben.peerId), ben.knows(ada.peerId)]);
  await ada.client.call('addContact', { who: ben.peerId }, { signal });
  await ben.client.call('addContact', { who: ada.peerId }, { signal });
  const starting = new Map<Player, Promise<void>>();
  const cast: Cast = {
    ada,
    ben,
    bootstrap,
    ledger,
    signal,
    numbers: { ada: 0, ben: 0 },
    up(player) {
      const bring = async (): Promise<void> => {
        const program = programOf(cast, player);
        for (let time = 1; !program.running; time++) {
          if (player === 'ada') await checkDead(ada, ben, 'ada', ledger);
          if (player === 'ben') await checkDead(ben, ada, 'ben', ledger);
          await program.start().catch((error: unknown) => {
            if (time === STARTS) throw error;
          });
        }
      };
      const started = starting.get(player) ?? bring().finally(() => starting.delete(player));
      starting.set(player, started);
      return started;
    },
  };
  return cast;
}

/** Plays each step once without faults: who passes which points in it. */
async function discover(cast: Cast, steps: readonly Step[]): Promise<{ kills: Kill[]; unused: string[] }> {
  const found = new Map<string, Kill>();
  const used = new Set<string>();
  // What the programs still do from their start belongs to no step.
  await delay(LATE_MS, undefined, { signal: cast.signal });
  for (const step of steps) {
    const before = await pointsOf(cast);
    await step.play(cast);
    await delay(LATE_MS, undefined, { signal: cast.signal });
    const after = await pointsOf(cast);
    for (const victim of PLAYERS) {
      for (const [point, now] of Object.entries(after[victim].points)) {
        // Counts begin anew with a process, and what it does when it starts belongs to the step that started it.
        const same = before[victim].pid === after[victim].pid;
        const then = same ? before[victim].points[point] : undefined;
        const changing = now.changing - (then?.changing ?? 0);
        if (now.count > 0) used.add(point.slice(0, point.lastIndexOf(':')));
        if (changing === 0) continue;
        const kill = found.get(`${victim} ${point}`) ?? { victim, point, passages: [] };
        found.set(`${victim} ${point}`, kill);
        // What a start does, it does each time. Other things depend on what was before.
        if (same) kill.passages.push({ step, atStart: false });
        else kill.passages.unshift({ step, atStart: true });
      }
    }
  }
  const isLengthy = ({ step }: Passage): number => (step.lengthy === true ? 1 : 0);
  for (const { passages } of found.values()) passages.sort((a, b) => isLengthy(a) - isLengthy(b));
  const all = [...daemonOperations(), ...bootstrapOperations()];
  const unused = all.filter((operation) => !used.has(operation) && !(operation in NOT_FOR_EVERYDAY));
  return { kills: [...found.values()], unused };
}

type PointsOfAll = Record<Player, { pid: number; points: Record<string, Passed> }>;

async function pointsOf(cast: Cast): Promise<PointsOfAll> {
  const entries = PLAYERS.map(async (player) => {
    const program = programOf(cast, player);
    return [player, { pid: program.pid, points: await program.tell({ type: 'points' }) }] as const;
  });
  return Object.fromEntries(await Promise.all(entries)) as PointsOfAll;
}

/** Plays a step in which somebody is killed at a point, and is started again; what ended it, when it did not end well. */
async function killAt(
  { victim, point }: Kill,
  { step, atStart }: Passage,
  cast: Cast,
): Promise<{ died: boolean; failure: string | undefined }> {
  for (const player of PLAYERS) await cast.up(player);
  const program = programOf(cast, victim);
  await program.tell({ type: atStart ? 'arm-at-start' : 'arm', point, occurrence: 1, action: 'kill' });
  const over = new AbortController();
  const signal = AbortSignal.any([cast.signal, over.signal]);
  let played = false;
  let failure: string | undefined;
  const playing = step
    .play({ ...cast, signal })
    .catch((error: unknown) => {
      failure = (error as Error).message;
    })
    .finally(() => {
      played = true;
    });
  // A step that itself ends its victim and starts it again means the second process.
  const pids = new Set<number>();
  const dies = (): boolean => {
    if (program.running) pids.add(program.pid);
    return pids.size > (atStart ? 2 : 1) || (pids.size > (atStart ? 1 : 0) && !program.running);
  };
  let died = false;
  while (!died && !played) {
    died = dies();
    await delay(LOOK_MS, undefined, { signal: cast.signal });
  }
  // What a step does in the background may come late.
  if (!died) await delay(LATE_MS, undefined, { signal: cast.signal });
  if (!died) await order(program, { type: 'disarm' });
  if (died || dies()) {
    died = true;
    await cast.up(victim);
    await Promise.race([playing, delay(PLAY_ON_MS, undefined, { signal })]);
  }
  over.abort();
  await playing;
  return { died, failure };
}

/** Waits until all is delivered, and compares what everybody has. */
async function settle(cast: Cast): Promise<void> {
  const { ada, ben, ledger, signal } = cast;
  for (const player of PLAYERS) await cast.up(player);
  for (const [daemon, other] of [
    [ada, ben],
    [ben, ada],
  ] as const) {
    // Not the whole outbox: what was written to somebody who never comes stays there.
    await waitFor(
      `all that the ${daemon.program.label} wrote to be delivered`,
      async () => (await historyOf(daemon, other, signal)).every((message) => !isWaiting(message)),
      { signal, timeoutMs: REST_MS },
    );
  }
  const histories = { ada: await historyOf(ada, ben, signal), ben: await historyOf(ben, ada, signal) };
  for (const [from, to, peerId] of [
    ['ada', 'ben', ada.peerId],
    ['ben', 'ada', ben.peerId],
  ] as const) {
    const isTheirs = (message: MessageView): boolean => message.from === peerId;
    ledger.reads(from, to, histories[from]);
    ledger.settles(from, to, histories[from].filter(isTheirs), histories[to].filter(isTheirs));
  }
}

const isWaiting = ({ state }: MessageView): boolean => state === 'queued' || state === 'stored';

async function historyOf(daemon: Daemon, other: Daemon, signal: AbortSignal): Promise<MessageView[]> {
  const args = { who: other.peerId, limit: 1000 };
  const { messages } = await daemon.client.call('history', args, { signal });
  return messages;
}
