import { once } from 'node:events';
import { setInterval } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { randomFrom } from '../../harness/random.ts';
import type { DecoderReport } from './fuzz-decoder.ts';
import { allDecoders } from './fuzz-subjects.ts';
import { SHARED_BYTES, SHARED_HEAD } from './fuzz-shared.ts';
import type { FuzzJob } from './fuzz-shared.ts';

export interface FuzzInit {
  seed: number;
  /** For each decoder. */
  inputs: number;
  /** Time for all of them together, of which each has its share. Without it, `inputs` alone decides. */
  minutes?: number | undefined;
  /** A decoder, or a subject for all of its decoders. Default: all there are. */
  only?: string | undefined;
  /** Of a failure: leads to its input at once. Needs `only`. */
  path?: string | undefined;
  /** Threads at work, default 2. */
  threads?: number | undefined;
  signal: AbortSignal;
  log: (line: string) => void;
}

export interface FuzzReport {
  seed: number;
  decoders: DecoderReport[];
  seconds: number;
}

/** No input may keep a decoder busy for so long, whatever else the machine does. */
const HANG_MS = 20_000;

/** How often is looked. */
const LOOK_MS = 1_000;

/** One thread that fuzzes decoder after decoder. One that hangs is ended, and its report says with which input. */
class FuzzThread {
  readonly #shared = new SharedArrayBuffer(SHARED_HEAD * Int32Array.BYTES_PER_ELEMENT + SHARED_BYTES);
  readonly #worker = new Worker(new URL('./fuzz-worker.ts', import.meta.url), { workerData: this.#shared });

  async run(job: FuzzJob, signal: AbortSignal): Promise<DecoderReport> {
    const startedMs = performance.now();
    const over = new AbortController();
    this.#worker.postMessage(job);
    try {
      return await Promise.race([
        once(this.#worker, 'message', { signal }).then(([report]) => report as DecoderReport),
        this.#hung(job, over.signal).then((failure) => ({
          decoder: job.decoder,
          inputs: this.#head[0]!,
          accepted: 0,
          refused: {},
          seconds: (performance.now() - startedMs) / 1000,
          failure,
        })),
      ]);
    } finally {
      over.abort();
    }
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  get #head(): Int32Array {
    return new Int32Array(this.#shared, 0, SHARED_HEAD);
  }

  /** Resolves when one input has been worked on for too long. */
  async #hung({ seed }: FuzzJob, signal: AbortSignal): Promise<NonNullable<DecoderReport['failure']>> {
    let count = -1;
    let sinceMs = performance.now();
    try {
      for await (const _ of setInterval(LOOK_MS, undefined, { signal })) {
        const now = Atomics.load(this.#head, 0);
        if (now !== count) {
          count = now;
          sinceMs = performance.now();
        } else if (count > 0 && performance.now() - sinceMs > HANG_MS) break;
      }
    } catch {
      // The decoder came to its end first, so nobody waits for this.
      return new Promise(() => {});
    }
    const bytes = Buffer.from(this.#shared, this.#head.byteLength, this.#head[1]);
    const input = bytes.toString('hex');
    return { seed, path: '', input, why: `still at work on this input after ${HANG_MS / 1000} s` };
  }
}

/** A seed for each decoder, so that it gets the same inputs whether others are fuzzed beside it or not. */
function seedFor(seed: number, decoder: string): number {
  let mixed = seed | 0;
  for (const character of decoder) mixed = (Math.imul(mixed, 31) + character.codePointAt(0)!) | 0;
  return Math.floor(randomFrom(mixed)() * 2 ** 31);
}

/**
 * Fuzzes decoders: each is given mutations of well-formed inputs, and has to take them or refuse them with an error of its
 * kind, in bounded time and memory. The same seed gives the same inputs.
 *
 * @throws the signal's reason
 */
export async function fuzz(init: FuzzInit): Promise<FuzzReport> {
  const { seed, inputs, minutes, only, path, threads = 2, signal, log } = init;
  const startedMs = performance.now();
  const names = (await allDecoders(only)).map(({ name }) => name);
  if (names.length === 0) throw new RangeError(`there is no decoder ${only}`);
  const share = minutes === undefined ? undefined : (minutes * 60_000 * threads) / names.length;
  const jobs = names.map((decoder) => ({
    decoder,
    // A path leads somewhere only with the seed it was reported with.
    seed: path === undefined ? seedFor(seed, decoder) : seed,
    inputs,
    timeLimitMs: share,
    path,
  }));
  const decoders: DecoderReport[] = [];
  const work = async (): Promise<void> => {
    let thread = new FuzzThread();
    try {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const report = await thread.run(job, signal);
        decoders.push(report);
        log(describe(report));
        if (report.failure === null) continue;
        await thread.stop();
        thread = new FuzzThread();
      }
    } finally {
      await thread.stop();
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, names.length) }, work));
  return { seed, decoders, seconds: (performance.now() - startedMs) / 1000 };
}

/** A report in a line; in several where it failed. */
export function describe({ decoder, inputs, accepted, refused, seconds, failure }: DecoderReport): string {
  const refusals = Object.entries(refused).map(([name, count]) => `, ${count} ${name}`);
  const rate = Math.round(inputs / Math.max(seconds, 0.001));
  const line = `${decoder}: ${inputs} inputs, ${rate}/s, ${accepted} accepted${refusals.join('')}`;
  if (failure === null) return line;
  const again = failure.path === '' ? '' : ` --seed ${failure.seed} --path ${failure.path}`;
  return [
    line,
    `  FAILED: ${failure.why}`,
    `  input: ${failure.input}`,
    `  again: node integration-tests/faults/fuzz/fuzz-main.ts --only '${decoder}'${again}`,
  ].join('\n');
}
