import type { Passed, Trap } from './orders.ts';

/** What all threads of a hooked program have in common. */
export interface HookState {
  traps: Trap[];
  /** Commits that still have to fail, null for all. */
  failing: { errcode: 'io-error' | 'disk-full'; commits: number | null } | undefined;
  passed: Record<string, Passed>;
  /** Threads that have the hook in them. */
  threads: number;
}

/** Some hundred commit points with their counts are 10 kB. */
const STATE_BYTES = 256 * 1024;

/** Where what lies in the buffer: a lock, the state's length (both Int32), the clock's offset (Float64), the state. */
const LOCK = 0;
const LENGTH = 1;
const OFFSET_AT = 8;
const STATE_AT = 16;

/**
 * Memory shared by the threads of a hooked program. Not messages between them: a thread that is at work would see an order
 * too late, and one that is killed could not say any more what it has passed.
 */
export interface SharedState {
  readonly buffer: SharedArrayBuffer;
  /** How far the program's clock is from the machine's. */
  offsetMs: number;
  /** Reads and changes the state, with no other thread between. */
  change<T>(act: (state: HookState) => T): T;
}

export function sharedState(given?: SharedArrayBuffer): SharedState {
  const buffer = given ?? new SharedArrayBuffer(STATE_BYTES);
  const words = new Int32Array(buffer, 0, 2);
  const offset = new Float64Array(buffer, OFFSET_AT, 1);
  const bytes = new Uint8Array(buffer, STATE_AT);
  const empty: HookState = { traps: [], failing: undefined, passed: {}, threads: 0 };

  return {
    buffer,
    get offsetMs() {
      return offset[0]!;
    },
    set offsetMs(ms) {
      offset[0] = ms;
    },
    change(act) {
      while (Atomics.compareExchange(words, LOCK, 0, 1) !== 0) Atomics.wait(words, LOCK, 1);
      try {
        const length = words[LENGTH]!;
        const state =
          length === 0 ? empty : (JSON.parse(Buffer.from(bytes.slice(0, length)).toString()) as HookState);
        const result = act(state);
        const encoded = Buffer.from(JSON.stringify(state));
        bytes.set(encoded);
        words[LENGTH] = encoded.byteLength;
        return result;
      } finally {
        Atomics.store(words, LOCK, 0);
        Atomics.notify(words, LOCK);
      }
    },
  };
}
