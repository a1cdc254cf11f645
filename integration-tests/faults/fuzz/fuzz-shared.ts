import type { DecoderRun } from './fuzz-decoder.ts';

/** A decoder for a thread to fuzz. */
export interface FuzzJob extends Pick<DecoderRun, 'seed' | 'inputs' | 'timeLimitMs' | 'path' | 'goesOn'> {
  decoder: string;
}

/** What a thread shares with the one that watches it: how many inputs so far, the length of the present one, its bytes. */
export const SHARED_HEAD = 2;

/** Longer than any input. */
export const SHARED_BYTES = 1024 * 1024;
