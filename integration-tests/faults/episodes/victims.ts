import type { Program } from '../../harness/program.ts';
import type { Random } from '../../harness/random.ts';
import type { Stage, Victim } from './kind.ts';
import type { Order } from '../hook/orders.ts';

export function programOf({ bootstrap, people }: Stage, victim: Victim): Program {
  return victim === 'bootstrap' ? bootstrap.program : people.get(victim)!.program;
}

export function dataDirOf({ bootstrap, people }: Stage, victim: Victim): string {
  return victim === 'bootstrap' ? bootstrap.dataDir : people.get(victim)!.dataDir;
}

/** Gives an order to a program that may end before it has obeyed. */
export async function order(program: Program, given: Order): Promise<void> {
  try {
    await program.tell(given);
  } catch (error) {
    if (program.running) throw error;
  }
}

export function oneOf<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

/** A whole number from `low` to below `high`. */
export function between(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low));
}
