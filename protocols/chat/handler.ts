import { InvalidMessageError } from '@libp2p/interface';
import type { Stream } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { frameSink, readFrames } from '../framing/streams.ts';
import { helloDeadline, sortFrames } from './decisions.ts';
import type { ChatDecisions } from './decisions.ts';
import { CHAT_LIMITS, encodeHello } from './protocol.ts';

/**
 * The acceptor's end of a `/chat/1.0.0` stream: chunks become batches of frames, a batch is decided and committed as a
 * whole, its acknowledgements go back in one write. While one batch is being committed the next one gathers.
 *
 * @param peer the connection's peer id: the author of every message on the stream
 * @param options.signal ends the stream
 * @param options.helloTimeoutMs how long the opener may take to say hello, default 10 s
 * @throws whatever ended the stream, after resetting it; returns when the opener closed it
 */
export async function serveChat(
  stream: Stream,
  peer: string,
  decisions: ChatDecisions,
  { signal, helloTimeoutMs = CHAT_LIMITS.helloTimeoutMs }: { signal: AbortSignal; helloTimeoutMs?: number },
): Promise<void> {
  const options = { maxFrameBytes: CHAT_LIMITS.maxFrameBytes, signal };
  const cancelDeadline = helloDeadline(helloTimeoutMs, (error) => stream.abort(error));
  let greeted = false;
  try {
    await pipe(
      readFrames(stream, options),
      async function* decide(batches) {
        for await (const batch of batches) {
          const { hello, messages, tell } = sortFrames(batch);
          if (!greeted) {
            if (hello === undefined) throw new InvalidMessageError('the first frame must be a hello');
            greeted = true;
            cancelDeadline();
            decisions.greeted(peer, hello);
            yield [encodeHello(decisions.hello(peer)), ...(await decisions.held(peer))];
          }
          const answers = await tell(decisions, peer);
          if (answers.length > 0) yield answers;
          if (messages.length > 0) yield await decisions.receive(peer, messages);
        }
      },
      frameSink(stream, options),
    );
    await stream.close({ signal });
  } catch (error) {
    stream.abort(error as Error);
    throw error;
  } finally {
    cancelDeadline();
  }
}
