import { isDeepStrictEqual } from 'node:util';
import { encodeFrames, FrameDecoder } from '../../../protocols/framing/frames.ts';
import type { Subject } from '../subject.ts';

const MAX_FRAME_BYTES = 96 * 1024;

/** How the bytes came in: the first tells into which chunks the rest is cut. */
interface Arrived {
  cut: number;
  frames: Uint8Array[];
}

function framesOf(chunks: Iterable<Uint8Array>): Uint8Array[] {
  const decoder = new FrameDecoder(MAX_FRAME_BYTES);
  return [...chunks].flatMap((chunk) => decoder.push(chunk));
}

/** Chunks of `cut` bytes, or of lengths that go through 1 to `cut`. */
function* cutInto(bytes: Uint8Array, cut: number): Generator<Uint8Array> {
  const longest = Math.max(1, cut & 0x7f) * (bytes.byteLength > 10_000 ? 100 : 1);
  for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
    const length = cut < 0x80 ? longest : 1 + (turn % longest);
    yield bytes.slice(at, at + length);
    at += length;
  }
}

function decode(bytes: Uint8Array): Arrived {
  const cut = bytes[0] ?? 0;
  const rest = bytes.subarray(1);
  const frames = framesOf(cutInto(rest, cut));
  if (!isDeepStrictEqual(frames, framesOf([rest])))
    throw new TypeError('how bytes are cut into chunks changes the frames in them');
  return { cut, frames };
}

function encode({ cut, frames }: Arrived): Uint8Array {
  return Buffer.concat([Uint8Array.of(cut), encodeFrames(frames)]);
}

const frame = (length: number): Uint8Array => new Uint8Array(length).fill(length);

export const subject: Subject = {
  name: 'framing',
  decoders: [
    {
      name: 'frames in chunks',
      decode,
      encode,
      refusals: ['InvalidMessageError'],
      samples: () => [
        encode({ cut: 1, frames: [frame(3), frame(0), frame(200)] }),
        encode({ cut: 0x85, frames: [frame(127), frame(128), frame(1)] }),
        encode({ cut: 50, frames: [frame(20_000)] }),
        encode({ cut: 0xff, frames: [frame(300), frame(40_000), frame(5)] }),
      ],
      // 96 KiB are announced, a byte of it comes.
      regressions: ['0180800601'],
    },
  ],
};
