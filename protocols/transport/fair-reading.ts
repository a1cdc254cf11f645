/** What a fair share is judged over. Short, so that a flood is felt for no longer; long against a turn of the event loop. */
const TICK_MS = 100;

/** From this share of the thread's time on, the busiest are held back. */
const BUSY_SHARE = 0.7;

/** What is shared out when it is busy: the rest is for what nobody can be charged for. */
const SHARED_OUT = 0.6;

/** A connection is not held back for longer than this at a time: far below every timeout. */
const MAX_PAUSE_MS = 500;

/**
 * What is known to have been done for somebody is not all: what follows a message comes later, in other turns. So the
 * time that the thread has been at work is charged in proportion, but not more than this many times what is known: it
 * also works for others than the network.
 */
const MAX_CHARGE = 4;

/** Somebody's part of the work, and how to hold them back. */
export interface Reader {
  /** `addressGroup` of where it comes from. */
  group: string;
  pause(): void;
  resume(): void;
}

interface Group {
  readers: Set<Reader>;
  costMs: number;
  pausedUntilMs: number;
}

/**
 * The share that each may have of `total`, so that who wants little gets it all and the others get alike (max-min
 * fairness).
 */
export function fairShares(wanted: readonly number[], total: number): number[] {
  const shares = wanted.map(() => 0);
  let left = total;
  let hungry = wanted.length;
  for (const index of wanted.map((_, at) => at).toSorted((a, b) => wanted[a]! - wanted[b]!)) {
    const share = Math.min(wanted[index]!, left / hungry);
    shares[index] = share;
    left -= share;
    hungry--;
  }
  return shares;
}

export interface FairReadingInit {
  nowMs: () => number;
  /** How long the thread has been at work since the last call. */
  workedMs: () => number;
}

/**
 * Keeps whoever keeps the thread busiest from keeping it from the others: when it has more to do than it can, the
 * connections of the address groups that cost the most are not read from for a while, and TCP slows their senders down.
 * Nothing is lost or refused. One alone may have it all.
 */
export function fairReading({ nowMs, workedMs }: FairReadingInit) {
  const groups = new Map<string, Group>();
  let lastMs = nowMs();

  const tick = (): void => {
    const now = nowMs();
    const spanMs = Math.max(1, now - lastMs);
    lastMs = now;
    const worked = workedMs();
    const active: Group[] = [];
    for (const group of groups.values()) {
      if (group.pausedUntilMs > 0 && group.pausedUntilMs <= now) {
        group.pausedUntilMs = 0;
        for (const reader of group.readers) reader.resume();
      }
      if (group.costMs > 0) active.push(group);
    }
    if (worked >= BUSY_SHARE * spanMs && active.length > 1) {
      const known = active.reduce((sum, { costMs }) => sum + costMs, 0);
      const charge = Math.min(MAX_CHARGE, worked / known);
      for (const group of active) group.costMs *= charge;
      const shares = fairShares(
        active.map(({ costMs }) => costMs),
        spanMs * SHARED_OUT,
      );
      for (const [index, group] of active.entries()) {
        const share = shares[index]!;
        if (group.pausedUntilMs > 0 || group.costMs <= share * 1.01) continue;
        // So long that what it took is no more than its share of the time.
        const pauseMs = Math.min(MAX_PAUSE_MS, (group.costMs / share - 1) * spanMs);
        group.pausedUntilMs = now + pauseMs;
        for (const reader of group.readers) reader.pause();
      }
    }
    for (const group of active) group.costMs = 0;
  };

  return {
    tickMs: TICK_MS,
    tick,

    /** Counts work that was done for a reader. */
    spent({ group }: Reader, costMs: number): void {
      const known = groups.get(group);
      if (known !== undefined) known.costMs += costMs;
    },

    /** @returns to be called when the reader is gone */
    join(reader: Reader): () => void {
      let group = groups.get(reader.group);
      if (group === undefined) {
        group = { readers: new Set(), costMs: 0, pausedUntilMs: 0 };
        groups.set(reader.group, group);
      }
      group.readers.add(reader);
      if (group.pausedUntilMs > 0) reader.pause();
      return () => {
        group.readers.delete(reader);
        if (group.readers.size === 0) groups.delete(reader.group);
      };
    },
  };
}
