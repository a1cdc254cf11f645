import { InvalidMessageError } from '@libp2p/interface';

/**
 * Frames on a Tincan stream are length-prefixed: an unsigned varint (at most 4 bytes, so under 256 MiB), then that
 * many bytes of protobuf. The same framing as libp2p's own protocols use.
 */
const MAX_PREFIX_BYTES = 4;

/**
 * What a frame that is not all there yet gets at the least. Beyond that, memory follows what has arrived, never what a
 * length announces: announcing half a megabyte costs five bytes.
 */
const MIN_PARTIAL_BYTES = 4096;

/** The bytes that stand before a frame of `length` bytes. */
function prefixBytes(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4;
}

/** How many bytes a frame of `length` bytes takes on the wire. */
export function framedBytes(length: number): number {
  return prefixBytes(length) + length;
}

/** Encodes frames, each with its length before it, into one buffer, so that they cross the stack together. */
export function encodeFrames(frames: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const frame of frames) total += framedBytes(frame.byteLength);
  const out = new Uint8Array(total);
  let at = 0;
  for (const frame of frames) {
    let length = frame.byteLength;
    while (length >= 0x80) {
      out[at++] = (length & 0x7f) | 0x80;
      length >>>= 7;
    }
    out[at++] = length;
    out.set(frame, at);
    at += frame.byteLength;
  }
  return out;
}

/**
 * Cuts a byte stream into frames. Holds at most one unfinished frame.
 *
 * The frames it returns are views on the chunks pushed into it, wherever a frame lies whole inside one chunk.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  #rest: Uint8Array | undefined;
  /** A frame too long for what has arrived is collected here, so that a slow sender costs two copies of a frame, not one a chunk. */
  #partial: Uint8Array | undefined;
  #partialFilled = 0;
  /** How long the frame in `#partial` is to become. */
  #partialLength = 0;

  /** @param maxFrameBytes the largest frame accepted; a longer prefix throws before anything is allocated */
  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** True between the first byte of a frame and its last. */
  get midFrame(): boolean {
    return this.#rest !== undefined || this.#partial !== undefined;
  }

  /**
   * Takes the next chunk, returns every frame it completes.
   *
   * @throws InvalidMessageError for a frame over the limit or a malformed prefix; the stream is then beyond repair
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    let data = chunk;
    if (this.#partial !== undefined) {
      const take = Math.min(this.#partialLength - this.#partialFilled, data.byteLength);
      const partial = this.#withRoomFor(this.#partial, take);
      partial.set(data.subarray(0, take), this.#partialFilled);
      this.#partial = partial;
      this.#partialFilled += take;
      if (this.#partialFilled < this.#partialLength) return frames;
      frames.push(partial);
      this.#partial = undefined;
      data = data.subarray(take);
    }
    if (this.#rest !== undefined) {
      const joined = new Uint8Array(this.#rest.byteLength + data.byteLength);
      joined.set(this.#rest);
      joined.set(data, this.#rest.byteLength);
      data = joined;
      this.#rest = undefined;
    }
    let at = 0;
    while (at < data.byteLength) {
      let length = 0;
      let next = at;
      for (let byte = 0x80; byte >= 0x80; next++) {
        if (next - at === MAX_PREFIX_BYTES)
          throw new InvalidMessageError('frame length prefix is over 4 bytes');
        if (next === data.byteLength) {
          // A copy, also when `data` is a Buffer, whose `slice` is a view that would keep the chunk in memory.
          this.#rest = new Uint8Array(data.subarray(at));
          return frames;
        }
        byte = data[next]!;
        length |= (byte & 0x7f) << (7 * (next - at));
      }
      if (length > this.#maxFrameBytes) {
        throw new InvalidMessageError(`frame of ${length} bytes is over the limit of ${this.#maxFrameBytes}`);
      }
      const end = next + length;
      if (end > data.byteLength) {
        const arrived = data.byteLength - next;
        this.#partial = new Uint8Array(Math.min(length, Math.max(2 * arrived, MIN_PARTIAL_BYTES)));
        this.#partial.set(data.subarray(next));
        this.#partialFilled = arrived;
        this.#partialLength = length;
        return frames;
      }
      frames.push(data.subarray(next, end));
      at = end;
    }
    return frames;
  }

  /** The frame being collected, with room for `more` bytes; exactly as long as the frame when these are its last. */
  #withRoomFor(partial: Uint8Array, more: number): Uint8Array {
    const needed = this.#partialFilled + more;
    if (needed <= partial.byteLength) return partial;
    const grown = new Uint8Array(Math.min(this.#partialLength, Math.max(2 * partial.byteLength, needed)));
    grown.set(partial.subarray(0, this.#partialFilled));
    return grown;
  }
}
