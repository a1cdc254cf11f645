import type { Random } from '../../harness/random.ts';

/** The program that is attacked. */
export interface AttackTarget {
  by: 'daemon' | 'bootstrap';
  /** With its peer id. */
  multiaddr: string;
  peerId: string;
  host: string;
  port: number;
  /** What a thief of nothing but the API's token could use: the daemon's own directory. */
  dataDir: string;
}

export interface AttackOptions {
  /** Ends the attack. */
  signal: AbortSignal;
  random: Random;
  /** Counts what was done, for the report: `handshakes`, `refused`. */
  count: (what: string, times?: number) => void;
}

/**
 * Something hostile that many can do at no cost. Each file of `attacks/` exports one as `attack`, and with that it is
 * played: nothing else has to be changed to bring in a new one. It runs in a process of its own.
 */
export interface Attack {
  /** As in `thousands of chains`. */
  name: string;
  against: readonly AttackTarget['by'][];
  /** Goes on until the signal fires. What the target does about it is no error. */
  run(target: AttackTarget, options: AttackOptions): Promise<void>;
  /** Error lines in the target's log that it is the cause of. */
  causes?: readonly RegExp[];
}

/** The address of somebody who is not the only one: on loopback all of 127.0.0.0/8 can be come from. */
export function addressOf(number: number): string {
  return `127.${1 + (number % 250)}.${Math.floor(number / 250) % 250}.${1 + (Math.floor(number / 62_500) % 250)}`;
}

/** Runs one after the other until the signal fires; a failure is the target's defence, and the next one follows. */
export async function again(
  { signal, count }: Pick<AttackOptions, 'signal' | 'count'>,
  once: (turn: number) => Promise<void>,
): Promise<void> {
  for (let turn = 0; !signal.aborted; turn++) {
    try {
      await once(turn);
      count('done');
    } catch {
      if (signal.aborted) return;
      count('turned away');
      // A refusal that comes at once would keep this loop from ever hearing the signal.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** `again`, by several side by side. */
export async function crowd(
  many: number,
  options: Pick<AttackOptions, 'signal' | 'count'>,
  once: (turn: number) => Promise<void>,
): Promise<void> {
  const works = Array.from({ length: many }, (_, worker) =>
    again(options, (turn) => once(turn * many + worker)),
  );
  await Promise.all(works);
}
