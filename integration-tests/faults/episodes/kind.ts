import type { Bootstrap, Town } from '../../harness/town.ts';
import type { Daemon } from '../../harness/daemon.ts';
import type { Random } from '../../harness/random.ts';
import type { Lab } from '../network/lab.ts';
import type { FaultProxy } from '../network/proxy.ts';

/** Who can be struck: `bootstrap`, or the label of somebody's daemon. */
export type Victim = string;

/** What a fault may need of the run it is played in. */
export type Need = 'proxies' | 'lab';

/** The programs of a run, while it is played. */
export interface Stage {
  town: Town;
  people: ReadonlyMap<string, Daemon>;
  bootstrap: Bootstrap;
  /** The proxy that everybody has to go through to reach somebody, where the run has them. */
  proxies: ReadonlyMap<Victim, FaultProxy>;
  /** The network of namespaces, where the run has one. */
  lab: Lab | undefined;
  /** Starts a program again that a fault has ended. Faults that overlap may both ask for it. */
  revive(victim: Victim): Promise<void>;
  random: Random;
  signal: AbortSignal;
}

/**
 * A kind of fault. Each file of `kinds/` exports one as `kind`, and with that schedules have it: nothing else has to be
 * changed to bring in a new one.
 */
export interface FaultKind<Params = unknown> {
  name: string;
  /** What it needs; a run without that does not have it. */
  needs?: Need;
  /** Draws one. The parameters are plain JSON, so that a schedule can be printed and played again. */
  draw(random: Random, victims: readonly Victim[]): Params;
  /** Does it, and undoes it: when this resolves, the fault is over, but for what the programs make of it. */
  play(params: Params, stage: Stage): Promise<void>;
  /** Error lines in a program's log that this fault is the cause of. */
  causes?: readonly RegExp[];
}
