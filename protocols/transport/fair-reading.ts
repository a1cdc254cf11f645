/** What a fair share is judged over: what a flood can have beyond its share, and the longest that it is felt for. */
const TICK_MS = 20;

/**
 * Work that is done between two looks at all sockets, about. A socket that has more to read is read from up to 32 times in
 * a row otherwise, 64 KiB a time.
 */
const TURN_MS = 3;

/** The same while there is nobody else whom it could keep waiting. */
const TURN_ALONE_MS = 20;

/** From this share of the thread's time on, the busiest are held back. */
const BUSY_SHARE = 0.5;

/** What is shared out when it is busy: the rest is for what nobody can be charged for. */
const SHARED_OUT = 0.5;

/** A connection is not held back for longer than this at a time: far below every timeout. */
const MAX_PAUSE_MS = 500;

/** Others that were seen this long ago may be back at any time, and are left their part. */
const COMPANY_MS = 1_000;

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
  /** In this tick. */
  costMs: number;
  /** Has had more than its part: not read from before this. 0 when it owes nothing. */
  pausedUntilMs: number;
  /** Waits for its turn. */
  queued: boolean;
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
  /** Calls back after a time, without keeping the program alive. */
  later?: (then: () => void, ms: number) => void;
  /** Calls back when all sockets that have something were looked at. */
  nextTurn?: (then: () => void) => void;
}

/**
 * Keeps whoever keeps the thread busiest from keeping it from the others: the connections of the address groups that cost
 * more than their part are not read from for a while, and TCP slows their senders down. It is judged while the work is done,
 * not only when it has been felt. Nothing is lost or refused. One alone may have it all, a few milliseconds at a time.
 */
export function fairReading({
  nowMs,
  workedMs,
  later = (then, ms) => void setTimeout(then, ms).unref(),
  nextTurn = (then) => void setImmediate(then),
}: FairReadingInit) {
  const groups = new Map<string, Group>();
  /** Those with a cost in this tick. */
  const active = new Set<Group>();
  const owing = new Set<Group>();
  /** Those that have paid and wait until it is their turn, one after the other. */
  const queue: Group[] = [];
  let ticking = false;
  let beganMs = 0;
  let tickMs = 0;
  let turning = false;
  let turnMs = 0;
  let companyUntilMs = 0;

  const hold = (group: Group): void => {
    for (const reader of group.readers) reader.pause();
  };
  const release = (group: Group): void => {
    group.queued = false;
    for (const reader of group.readers) reader.resume();
  };
  const enqueue = (group: Group): void => {
    if (group.queued) return;
    group.queued = true;
    queue.push(group);
    turn();
  };
  const turn = (): void => {
    if (turning) return;
    turning = true;
    nextTurn(() => {
      turning = false;
      turnMs = 0;
      const next = queue.shift();
      if (next === undefined) return;
      release(next);
      if (queue.length > 0) turn();
    });
  };

  /** Holds back who has had more than its part of `spanMs`, in which all together had `charge` times what is known. */
  const judge = (now: number, spanMs: number, charge: number): void => {
    const all = [...active];
    const shares = fairShares(
      all.map(({ costMs }) => costMs * charge),
      spanMs * SHARED_OUT,
    );
    for (const [index, group] of all.entries()) {
      const share = shares[index]!;
      const cost = group.costMs * charge;
      if (cost <= share * 1.01) continue;
      // So long that what it took is no more than its share of the time.
      const untilMs = Math.min(now + MAX_PAUSE_MS, beganMs + (cost / share) * spanMs);
      if (untilMs <= group.pausedUntilMs) continue;
      group.pausedUntilMs = untilMs;
      owing.add(group);
      hold(group);
    }
  };

  const inCompany = (now: number): boolean => active.size > 1 || now < companyUntilMs;

  const begin = (): void => {
    if (ticking) return;
    ticking = true;
    beganMs = nowMs();
    workedMs();
    later(tick, TICK_MS);
  };

  const tick = (): void => {
    ticking = false;
    const now = nowMs();
    const spanMs = Math.max(1, now - beganMs);
    if (active.size > 1) companyUntilMs = now + COMPANY_MS;
    const worked = workedMs();
    if (worked >= BUSY_SHARE * spanMs && tickMs > 0 && inCompany(now))
      judge(now, spanMs, Math.max(1, Math.min(MAX_CHARGE, worked / tickMs)));
    for (const group of active) group.costMs = 0;
    active.clear();
    tickMs = 0;
    for (const group of owing) {
      if (group.pausedUntilMs > now) continue;
      group.pausedUntilMs = 0;
      owing.delete(group);
      enqueue(group);
    }
    if (owing.size > 0 || worked > 0.05 * spanMs) begin();
  };

  return {
    /** Counts work that was done for a reader. */
    spent({ group: name }: Reader, costMs: number): void {
      const group = groups.get(name);
      if (group === undefined) return;
      begin();
      group.costMs += costMs;
      active.add(group);
      tickMs += costMs;
      turnMs += costMs;
      if (turnMs <= TURN_MS) {
        turn();
        return;
      }
      const now = nowMs();
      const company = inCompany(now);
      if (company && tickMs > SHARED_OUT * TICK_MS) judge(now, Math.max(TICK_MS, now - beganMs), 1);
      const enough = company ? TURN_MS : TURN_ALONE_MS;
      // Not who only happens to be the last, after somebody else had most of it.
      if (turnMs > enough && group.costMs > TURN_MS / 2 && group.pausedUntilMs === 0) {
        hold(group);
        enqueue(group);
      } else turn();
    },

    /** @returns to be called when the reader is gone */
    join(reader: Reader): () => void {
      let group = groups.get(reader.group);
      if (group === undefined) {
        group = { readers: new Set(), costMs: 0, pausedUntilMs: 0, queued: false };
        groups.set(reader.group, group);
      }
      group.readers.add(reader);
      if (group.pausedUntilMs > 0 || group.queued) reader.pause();
      return () => {
        group.readers.delete(reader);
        if (group.readers.size > 0) return;
        groups.delete(reader.group);
        active.delete(group);
        owing.delete(group);
      };
    },
  };
}
