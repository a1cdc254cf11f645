/** What a program with the hook in it can be told to do to itself. Goes over an IPC channel, as JSON. */
export type Order =
  /** Does something to itself when it passes a commit point. */
  | ({ type: 'arm' } & Trap)
  /** The same, of the process that is started next. */
  | ({ type: 'arm-at-start' } & Trap)
  /** Forgets all that was armed and has not happened, and lets the disk work again. */
  | { type: 'disarm' }
  /** Sets its clock this far from the machine's, in all its threads. Holds over restarts, until told otherwise. */
  | { type: 'clock'; offsetMs: number }
  /** Collects garbage in all its threads; answers what is left. */
  | { type: 'collect-garbage' }
  /** Answers which commit points were passed since it was started. */
  | { type: 'points' };

export interface Trap {
  /** `<operation>:before-commit`, `<operation>:after-commit`, the same of a file, or `*` for any. */
  point: string;
  /** The how manieth time it is passed from now on, from 1. */
  occurrence: number;
  /**
   * `kill` and `stop` are SIGKILL and SIGSTOP, at the point. `io-error` and `disk-full` let the commit fail as SQLite does;
   * they need a point before a commit.
   */
  action: 'kill' | 'stop' | 'io-error' | 'disk-full';
  /** How many commits fail; 1 unless said, null for all until disarmed. */
  commits?: number | null;
}

/** Of one commit point. */
export interface Passed {
  count: number;
  /** How often it changed something. */
  changing: number;
}

export interface Answers {
  arm: undefined;
  'arm-at-start': undefined;
  disarm: undefined;
  clock: undefined;
  'collect-garbage': NodeJS.MemoryUsage;
  points: Record<string, Passed>;
}

/** What the hook does at once when its program starts. */
export interface InitialOrders {
  offsetMs: number;
  traps: Trap[];
}

/** Holds `InitialOrders` as JSON; without it the hook does nothing. */
export const ORDERS_VARIABLE = 'TINCAN_TEST_FAULTS';
