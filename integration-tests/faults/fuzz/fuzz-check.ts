import { isDeepStrictEqual } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import type { HeapInfo } from 'node:v8';
import type { Decoder } from '../subject.ts';

/** CPU time that one input may take, in milliseconds. Decoders take microseconds, those that check signatures a thousand. */
const MAX_CPU_MS = 250;

/** What each byte may add: a few times what the dearest honest bytes cost on a busy machine. What is quadratic goes far beyond. */
const CPU_MS_PER_BYTE = 0.003;

/** What one input may make a decoder allocate, whatever its length: libraries warm up, errors carry stacks. */
const MAX_ALLOCATED_BYTES = 2 * 1024 * 1024;

/**
 * And for each of its bytes. An empty message in a list takes two bytes on the wire and an object of 100 to 200 here; what
 * becomes of it may be another. A length that is believed before its bytes are there costs millions.
 */
const MAX_ALLOCATED_PER_BYTE = 512;

/** What is over a bound is measured so many times more, and counts only if it is over it each time. */
const REPEATS = 3;

/** A decoder did with an input what no decoder may. */
export class DecoderFault extends Error {
  override name = 'DecoderFault';
}

/** What became of an input: accepted, or refused with an error of this name. */
export type Outcome = { refusedAs: string | undefined };

/** The heap's own count of bytes ever allocated, which no garbage collection takes back, and memory outside of it. */
function allocatedBytes(): number {
  const { total_allocated_bytes, external_memory } = getHeapStatistics() as HeapInfo & {
    total_allocated_bytes: number;
    external_memory: number;
  };
  return total_allocated_bytes + external_memory;
}

interface Cost {
  cpuMs: number;
  bytes: number;
}

async function costOf(decoder: Decoder, input: Uint8Array): Promise<Cost> {
  const allocatedBefore = allocatedBytes();
  const before = process.threadCpuUsage();
  try {
    await decoder.decode(input);
  } catch {
    // Whether it may is asked elsewhere.
  }
  const { user, system } = process.threadCpuUsage(before);
  return { cpuMs: (user + system) / 1000, bytes: allocatedBytes() - allocatedBefore };
}

async function checkCost(decoder: Decoder, input: Uint8Array, limit: Cost): Promise<void> {
  let least: Cost = { cpuMs: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const cost = await costOf(decoder, input);
    least = { cpuMs: Math.min(least.cpuMs, cost.cpuMs), bytes: Math.min(least.bytes, cost.bytes) };
    if (least.cpuMs <= limit.cpuMs && least.bytes <= limit.bytes) return;
  }
  throw new DecoderFault(
    least.cpuMs > limit.cpuMs
      ? `${input.byteLength} bytes took ${Math.round(least.cpuMs)} ms of CPU; the limit is ${Math.round(limit.cpuMs)}`
      : `${input.byteLength} bytes made it allocate ${least.bytes}; the limit is ${limit.bytes}`,
  );
}

function refusal(decoder: Decoder, error: unknown): Outcome {
  const name = error instanceof Error ? error.name : typeof error;
  if (decoder.refusals.includes(name)) return { refusedAs: name };
  throw new DecoderFault(`threw ${name}, which is no refusal`, { cause: error });
}

async function checkRoundTrip(decoder: Decoder, value: unknown): Promise<void> {
  const encode = decoder.encode as ((value: unknown) => Uint8Array | Promise<Uint8Array>) | undefined;
  if (encode === undefined) return;
  let again: unknown;
  try {
    again = await decoder.decode(new Uint8Array(await encode(value)));
  } catch (error) {
    throw new DecoderFault('what it accepted can not be encoded and decoded again', { cause: error });
  }
  if (!isDeepStrictEqual(again, value))
    throw new DecoderFault('it is something else once encoded and decoded again');
}

/**
 * Gives a decoder an input and checks all that has to be true of what it does.
 *
 * @param maxCpuMs default 250 ms, beside what each byte may add
 * @throws DecoderFault when it is not
 */
export async function checkDecoder(
  decoder: Decoder,
  input: Uint8Array,
  maxCpuMs = MAX_CPU_MS,
): Promise<Outcome> {
  const { allocatedPerByte = MAX_ALLOCATED_PER_BYTE } = decoder;
  const limit = {
    cpuMs: maxCpuMs + CPU_MS_PER_BYTE * input.byteLength,
    bytes: MAX_ALLOCATED_BYTES + allocatedPerByte * input.byteLength,
  };
  const state = decoder.state?.();
  const allocatedBefore = allocatedBytes();
  const startedMs = performance.now();
  let outcome: Outcome = { refusedAs: undefined };
  let value: unknown;
  try {
    // Most decoders are synchronous, and a promise for each would cost more than they do.
    value = decoder.decode(input);
    if (value instanceof Promise) value = await value;
  } catch (error) {
    outcome = refusal(decoder, error);
  }
  const tookMs = performance.now() - startedMs;
  // By the wall clock, which also runs while others have the CPU: a reason to look closer, no more.
  if (tookMs > limit.cpuMs || allocatedBytes() - allocatedBefore > limit.bytes)
    await checkCost(decoder, input, limit);
  if (outcome.refusedAs === undefined) await checkRoundTrip(decoder, value);
  else if (state !== undefined && Buffer.compare(state, decoder.state!()) !== 0)
    throw new DecoderFault(`refused with ${outcome.refusedAs}, and something is changed`);
  return outcome;
}
