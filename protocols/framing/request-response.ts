import { StreamResetError } from '@libp2p/interface';
import type { Stream } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { frameSink, readFrames, sendFrames } from './streams.ts';

export interface ExchangeOptions {
  /** The largest frame accepted from the other side, in bytes. */
  maxFrameBytes: number;
  signal: AbortSignal;
}

/**
 * One request, one answer, on a stream of its own, which is closed afterwards (aborted when it fails).
 *
 * @throws StreamResetError when the other side closes without an answer, and all that `readFrames` throws
 */
export async function request(
  stream: Stream,
  frame: Uint8Array,
  options: ExchangeOptions,
): Promise<Uint8Array> {
  try {
    await sendFrames(stream, [frame], options);
    for await (const [answer] of readFrames(stream, options)) {
      await stream.close({ signal: options.signal });
      return answer!;
    }
    throw new StreamResetError('the stream was closed without an answer');
  } catch (error) {
    stream.abort(error as Error);
    throw error;
  }
}

/**
 * Answers every request on a stream, in order, until the other side closes it. Requests that arrive together are
 * decided together and answered in one write. A request that `answer` throws on, or a malformed one, aborts the stream;
 * refusals are answers.
 */
export async function serveRequests(
  stream: Stream,
  answer: (frame: Uint8Array) => Uint8Array | Promise<Uint8Array>,
  options: ExchangeOptions,
): Promise<void> {
  try {
    await pipe(
      readFrames(stream, options),
      async function* decide(batches: AsyncIterable<Uint8Array[]>) {
        for await (const batch of batches) yield await Promise.all(batch.map(async (frame) => answer(frame)));
      },
      frameSink(stream, options),
    );
    await stream.close({ signal: options.signal });
  } catch (error) {
    stream.abort(error as Error);
  }
}
