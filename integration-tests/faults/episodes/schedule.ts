import { randomFrom } from '../../harness/random.ts';
import type { Random } from '../../harness/random.ts';
import type { FaultKind, Need, Victim } from './kind.ts';

/** What lies between the programs of an episode: nothing, a proxy before each, or a host of its own for each. */
export type Network = 'plain' | Need;

/** One fault of a schedule. */
export interface Strike {
  /** From the beginning of the episode. */
  atMs: number;
  kind: string;
  /** What the kind drew. */
  params: unknown;
}

/** All that is planned about an episode. Plain JSON: printed when it fails, and played again with `--schedule`. */
export interface Schedule {
  /** Of what is drawn while it is played: texts, pauses, what a proxy breaks. */
  seed: number;
  network: Network;
  /** Messages are written for this long. */
  durationMs: number;
  /** In the order of `atMs`. */
  strikes: readonly Strike[];
}

/** Everybody who chats in an episode. Three, so that somebody is always a third one. */
export const PEOPLE = ['ada', 'ben', 'cyd'] as const;

export const VICTIMS: readonly Victim[] = [...PEOPLE, 'bootstrap'];

const NETWORKS: readonly Network[] = ['plain', 'proxies', 'lab'];

export interface ScheduleOptions {
  kinds: readonly FaultKind[];
  durationMs: number;
  /** Faults a second, on average. */
  rate: number;
  /** Who may be struck; everybody unless said. */
  victims?: readonly Victim[];
  /** Drawn unless said. */
  network?: Network;
}

/** Draws an episode: the same seed and options give the same one. */
export function drawSchedule(seed: number, options: ScheduleOptions): Schedule {
  const { durationMs, rate, victims = VICTIMS } = options;
  const random = randomFrom(seed);
  const network = options.network ?? pick(NETWORKS, random);
  const kinds = options.kinds
    .filter(({ needs }) => needs === undefined || needs === network)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const count = Math.max(1, Math.round((durationMs / 1000) * rate));
  const strikes: Strike[] = [];
  while (strikes.length < count) {
    const atMs = Math.floor(random() * durationMs);
    const kind = pick(kinds, random);
    const strike = { atMs, kind: kind.name, params: kind.draw(random, victims) };
    // Some kinds have a victim of their own.
    if (victimsOf(strike).every((victim) => victims.includes(victim))) strikes.push(strike);
  }
  return {
    seed: drawSeed(random),
    network,
    durationMs,
    strikes: strikes.toSorted((a, b) => a.atMs - b.atMs),
  };
}

export function drawSeed(random: Random): number {
  return Math.floor(random() * 2 ** 32);
}

/** The victims that a strike names, anywhere in its parameters: two faults do not strike one at the same time. */
export function victimsOf({ params }: Strike): Victim[] {
  const named = new Set<Victim>();
  const look = (value: unknown): void => {
    if (typeof value === 'string' && VICTIMS.includes(value)) named.add(value);
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(look);
  };
  look(params);
  return [...named];
}

function pick<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)]!;
}
