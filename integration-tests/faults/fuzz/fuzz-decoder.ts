import fc from 'fast-check';
import { checkDecoder, DecoderFault } from './fuzz-check.ts';
import type { Outcome } from './fuzz-check.ts';
import { mutate, recipes } from './fuzz-mutation.ts';
import type { Decoder } from '../subject.ts';

/** An input that a decoder should have refused, or taken otherwise. */
export interface DecoderFailure {
  /** Given again with the path, these lead to the same input at once. */
  seed: number;
  path: string;
  /** The smallest input found that fails, in hexadecimal. */
  input: string;
  /** What the decoder did. */
  why: string;
}

/** What fuzzing one decoder came to. */
export interface DecoderReport {
  decoder: string;
  /** How many inputs it was given. */
  inputs: number;
  accepted: number;
  /** How often it refused, by the name of the error. */
  refused: Record<string, number>;
  seconds: number;
  failure: DecoderFailure | null;
}

export interface DecoderRun {
  seed: number;
  inputs: number;
  /** Ends it earlier. Default: no limit. */
  timeLimitMs?: number | undefined;
  /** Plays one failure again. */
  path?: string | undefined;
  /** Leaves out what inputs are made of: it was tried before. */
  goesOn?: boolean;
  /** Is told of each input before the decoder is, and of how many there have been. */
  onInput?: (input: Uint8Array, count: number) => void;
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (cause === undefined) return message;
  return `${message}: ${cause instanceof Error ? (cause.stack ?? cause.message) : JSON.stringify(cause)}`;
}

/**
 * Gives a decoder inputs made of its samples, until one fails or the number or time is up. The same seed gives the same
 * inputs. An input that fails is made as small as can be first.
 */
export async function fuzzDecoder(decoder: Decoder, run: DecoderRun): Promise<DecoderReport> {
  const { seed, inputs, timeLimitMs, path, goesOn = false, onInput = () => undefined } = run;
  const startedMs = performance.now();
  const report: DecoderReport = {
    decoder: decoder.name,
    inputs: 0,
    accepted: 0,
    refused: {},
    seconds: 0,
    failure: null,
  };
  const attempt = async (input: Uint8Array): Promise<Outcome> => {
    onInput(input, ++report.inputs);
    const outcome = await checkDecoder(decoder, input);
    if (outcome.refusedAs === undefined) report.accepted++;
    else report.refused[outcome.refusedAs] = (report.refused[outcome.refusedAs] ?? 0) + 1;
    return outcome;
  };
  const fail = (input: Uint8Array, error: unknown, at = ''): void => {
    report.failure = { seed, path: at, input: Buffer.from(input).toString('hex'), why: reasonOf(error) };
  };
  const begin = async (): Promise<void> => {
    const regressions = (decoder.regressions ?? []).map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
    for (const input of [...samples, ...forged, ...regressions]) {
      try {
        const { refusedAs } = await attempt(input);
        if (refusedAs !== undefined && samples.includes(input))
          throw new DecoderFault(`a sample is refused with ${refusedAs}`);
        if (refusedAs === undefined && forged.includes(input))
          throw new DecoderFault('a forgery is accepted');
      } catch (error) {
        fail(input, error);
        return;
      }
    }
  };

  // Copies, as plain as what is made of them: samples may be Buffers, or views on something larger.
  const samples = (await decoder.samples()).map((sample) => new Uint8Array(sample));
  const forged = ((await decoder.forged?.()) ?? []).map((each) => new Uint8Array(each));
  // As often as from forgeries, inputs are made from what is in order, which gets further.
  const inOrder = Array.from(
    { length: Math.max(samples.length, forged.length) },
    (_, index) => samples[index % samples.length]!,
  );
  const origins = [...inOrder, ...forged];
  if (path === undefined && !goesOn) await begin();
  if (report.failure === null) {
    const details = await fc.check(
      fc.asyncProperty(recipes, async (recipe) => void (await attempt(mutate(origins, recipe)))),
      {
        seed,
        numRuns: inputs,
        ...(path === undefined ? {} : { path }),
        ...(timeLimitMs === undefined ? {} : { interruptAfterTimeLimit: timeLimitMs }),
      },
    );
    if (details.failed && details.counterexample !== null)
      fail(
        mutate(origins, details.counterexample[0]),
        details.errorInstance,
        details.counterexamplePath ?? '',
      );
  }
  report.seconds = (performance.now() - startedMs) / 1000;
  return report;
}
