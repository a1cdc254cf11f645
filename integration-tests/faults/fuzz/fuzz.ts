import { once } from 'node:events';
import { setInterval } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { randomFrom } from '../../harness/random.ts';
import type { DecoderReport } from './fuzz-decoder.ts';
import { leastInputs } from './fuzz-subjects.ts';
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
  /** Only the decoders of what people trust in, each until it got its subject's `leastInputs`. */
  leastOnly?: boolean | undefined;
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

/** The two halves of the time: one for all decoders alike, one for those that are to be given `leastInputs`. */
const EQUAL_SHARE = 0.5;

/** A turn in which each decoder has less time than this is not worth its while. */
const SHORTEST_SHARE_MS = 200;

/**
 * Fuzzes decoders: each is given mutations of well-formed inputs, and has to take them or refuse them with an error of its
 * kind, in bounded time and memory, and without a change to anything where it refuses. The same seed gives the same inputs.
 *
 * With a limit of time, all have the same time at first. Then those that are short of their subject's `leastInputs` have
 * what is left, until they got them, and then all again.
 *
 * @throws the signal's reason
 */
export async function fuzz(init: FuzzInit): Promise<FuzzReport> {
  const { seed, inputs, minutes, only, leastOnly = false, path, threads = 2, signal, log } = init;
  const startedMs = performance.now();
  const decoders = (await leastInputs(only))
    .filter(({ least }) => least > 0 || !leastOnly)
    .map(({ name, least }) => ({ name, least: Math.min(least, inputs) }));
  if (decoders.length === 0) throw new RangeError(`there is no decoder ${only}`);
  const deadlineMs = minutes === undefined ? undefined : startedMs + minutes * 60_000;
  const reports = new Map<string, DecoderReport>();
  await using pool = fuzzThreads(Math.min(threads, decoders.length), signal);

  /** The names of those that have not failed and were given fewer inputs. */
  const below = (goalOf: (decoder: { least: number }) => number): string[] =>
    decoders.flatMap((decoder) => {
      const { inputs: had, failure } = reports.get(decoder.name) ?? { inputs: 0, failure: null };
      return failure === null && had < goalOf(decoder) ? [decoder.name] : [];
    });

  let turns = 0;
  /** Gives each of these decoders as much of the time as the others; false when too little was left for it. */
  const turn = async (
    names: readonly string[],
    goalOf: (name: string) => number,
    part = 1,
  ): Promise<boolean> => {
    const left = deadlineMs === undefined ? undefined : (deadlineMs - performance.now()) * part;
    const share = left === undefined ? undefined : left / Math.ceil(names.length / threads);
    if (names.length === 0 || (turns > 0 && share !== undefined && share < SHORTEST_SHARE_MS)) return false;
    // A path leads somewhere only with the seed it was reported with.
    const seedOf = (name: string): number => seedFor(seed, turns === 0 ? name : `${name} ${turns}`);
    const jobs = names.map((decoder) => ({
      decoder,
      seed: path === undefined ? seedOf(decoder) : seed,
      inputs: goalOf(decoder) - (reports.get(decoder)?.inputs ?? 0),
      timeLimitMs: share === undefined ? undefined : Math.max(1, share),
      path,
      goesOn: reports.has(decoder),
    }));
    for (const report of await pool.run(jobs))
      reports.set(report.decoder, together(reports.get(report.decoder), report));
    turns++;
    return true;
  };

  const leastOf = new Map(decoders.map(({ name, least }) => [name, least]));
  const towardsLeast = (part?: number): Promise<boolean> =>
    turn(
      below(({ least }) => least),
      (name) => leastOf.get(name)!,
      part,
    );
  const everyInput = (): number => inputs;
  const towardsAll = (part?: number): Promise<boolean> => turn(below(everyInput), everyInput, part);
  if (leastOnly) await towardsLeast();
  else await towardsAll(deadlineMs === undefined ? 1 : EQUAL_SHARE);
  if (deadlineMs !== undefined && path === undefined) {
    while (await towardsLeast());
    while (!leastOnly && (await towardsAll()));
  }

  const all = decoders.map(({ name }) => reports.get(name)!);
  for (const report of all) log(describe(report));
  return { seed, decoders: all, seconds: (performance.now() - startedMs) / 1000 };
}

/** So many threads, each of which takes the next job when it has done one. */
function fuzzThreads(
  count: number,
  signal: AbortSignal,
): AsyncDisposable & { run(jobs: FuzzJob[]): Promise<DecoderReport[]> } {
  const threads = Array.from({ length: count }, () => new FuzzThread());
  return {
    async run(jobs) {
      const reports: DecoderReport[] = [];
      const work = async (index: number): Promise<void> => {
        for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
          const report = await threads[index]!.run(job, signal);
          reports.push(report);
          if (report.failure === null) continue;
          await threads[index]!.stop();
          threads[index] = new FuzzThread();
        }
      };
      await Promise.all(threads.map((_, index) => work(index)));
      return reports;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(threads.map((thread) => thread.stop()));
    },
  };
}

/** Two reports of one decoder as one. */
function together(before: DecoderReport | undefined, report: DecoderReport): DecoderReport {
  if (before === undefined) return report;
  const refused = { ...before.refused };
  for (const [name, count] of Object.entries(report.refused)) refused[name] = (refused[name] ?? 0) + count;
  return {
    ...report,
    inputs: before.inputs + report.inputs,
    accepted: before.accepted + report.accepted,
    refused,
    seconds: before.seconds + report.seconds,
  };
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
