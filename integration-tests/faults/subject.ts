import type { Random } from '../harness/random.ts';

/** Bytes from outside that Tincan reads, and what has to be true of it. */
export interface Decoder {
  /** As in `chat Message`. */
  name: string;
  /**
   * Reads bytes. Returns what they say; an error it throws has to be one of `refusals`.
   */
  decode(bytes: Uint8Array): unknown;
  /** Encodes what `decode` returned, where there is such a function: decoding that again has to give the same. */
  encode?(value: never): Uint8Array | Promise<Uint8Array>;
  /** Names of the errors that refuse bad bytes. Anything else is a fault of ours. */
  refusals: readonly string[];
  /** Well-formed inputs, from which bad ones are made. At least one of each kind of message. */
  samples(): Promise<Uint8Array[]> | Uint8Array[];
  /** Inputs that somebody made who knows the format, and how to sign. Each has to be refused. Others are made of them, too. */
  forged?(): Promise<Uint8Array[]> | Uint8Array[];
  /** What an input that is refused may not change: compared before and after each. */
  state?(): Uint8Array;
  /** What it may allocate for each byte of an input, where that is more than for others. */
  allocatedPerByte?: number;
  /** Inputs that were once read wrongly, in hexadecimal. They are tried first. */
  regressions?: readonly string[];
}

/** Requests that a hostile peer may send by the thousand. */
export interface Flood {
  /** As in `lookups`. */
  name: string;
  /** Well-formed bytes as they go on a stream, length prefixes included; a new one each time. */
  request(random: Random): Uint8Array;
}

/**
 * A protocol or a format under fire. Each file of `subjects/` exports one as `subject`, and with that its decoders are
 * fuzzed and its streams are attacked: nothing else has to be changed to bring in a new one.
 */
export interface Subject {
  name: string;
  /** The program that serves it, and the protocol's id; absent for a format that travels inside others. */
  served?: readonly { by: 'daemon' | 'bootstrap'; protocol: string }[];
  decoders: readonly Decoder[];
  /** So many inputs each decoder is given in a run of some minutes, before the decoders of others are given more. */
  leastInputs?: number;
  floods?: readonly Flood[];
}
