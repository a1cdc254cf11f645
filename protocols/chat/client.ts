import { InvalidMessageError } from '@libp2p/interface';
import type { Stream } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { BatchQueue } from '../framing/batch-queue.ts';
import { encodeFrames } from '../framing/frames.ts';
import { encodedSink, readFrames } from '../framing/streams.ts';
import { helloDeadline, sortFrames } from './decisions.ts';
import type { ChatDecisions } from './decisions.ts';
import { CHAT_LIMITS, encodeHello } from './protocol.ts';

/** The opener's end of a stream on which both have said hello. */
export interface OpenChat {
  /** Queues bytes made by `encodeFrames`. What is queued in one turn goes out in one write. */
  write(encoded: Uint8Array): void;
  /** Settles when the stream is over: resolves when it was closed, rejects with what broke it. */
  readonly closed: Promise<void>;
  /** Stops sending and closes, or resets with an error. */
  close(error?: Error): void;
}

/**
 * Says hello on a freshly opened `/chat/1.0.0` stream, waits for the answer, and goes on taking answers.
 *
 * @param peer the connection's peer id
 * @param options.signal ends the stream
 * @param options.helloTimeoutMs how long the acceptor may take to answer, default 10 s
 * @throws InvalidMessageError, TimeoutError, or the stream's error
 */
export async function openChat(
  stream: Stream,
  peer: string,
  decisions: ChatDecisions,
  { signal, helloTimeoutMs = CHAT_LIMITS.helloTimeoutMs }: { signal: AbortSignal; helloTimeoutMs?: number },
): Promise<OpenChat> {
  const options = { maxFrameBytes: CHAT_LIMITS.maxFrameBytes, signal };
  const queue = new BatchQueue<Uint8Array>();
  const ready = Promise.withResolvers<void>();
  const cancelDeadline = helloDeadline(helloTimeoutMs, (error) => stream.abort(error));
  let greeted = false;

  const takeAnswers = async (batches: AsyncIterable<Uint8Array[]>): Promise<void> => {
    for await (const batch of batches) {
      const { hello, messages, tell } = sortFrames(batch);
      if (messages.length > 0)
        throw new InvalidMessageError('messages go on a stream of their own direction');
      if (!greeted) {
        if (hello === undefined) throw new InvalidMessageError('the first frame must be a hello');
        decisions.greeted(peer, hello);
      }
      const answers = await tell(decisions, peer, { opening: !greeted });
      if (answers.length > 0) queue.push(encodeFrames(answers));
      if (!greeted) {
        greeted = true;
        cancelDeadline();
        ready.resolve();
      }
    }
  };

  const write = async (): Promise<void> => {
    queue.push(encodeFrames([encodeHello(decisions.hello(peer))]));
    await pipe(queue, encodedSink(stream, options));
    await stream.close({ signal });
  };
  const reading = pipe(readFrames(stream, options), takeAnswers).then(() => queue.end());
  const closed = Promise.all([reading, write()]).then(
    () => {
      cancelDeadline();
      if (!greeted) throw new InvalidMessageError('the stream was closed without a hello');
    },
    (error: Error) => {
      cancelDeadline();
      queue.end(error);
      stream.abort(error);
      throw error;
    },
  );
  closed.catch(ready.reject);
  await ready.promise;
  return {
    write: (encoded) => queue.push(encoded),
    closed,
    close(error) {
      queue.end(error);
      if (error !== undefined) stream.abort(error);
    },
  };
}
