import type { Stream } from '@libp2p/interface';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { MailboxError } from './errors.ts';
import { decodeServerFrame, MAX_SERVER_FRAME_BYTES } from './protocol.ts';
import type { ServerFrame } from './protocol.ts';

/** A mailbox that answers nothing for this long is taken for dead. A commit takes milliseconds. */
const ANSWER_TIMEOUT_MS = 30_000;

export interface SingleRequestInit {
  /** Opens a `/mailbox/1.0.0` stream to the mailbox; called for each request. */
  openStream: (options: { signal: AbortSignal }) => Promise<Stream>;
  answerTimeoutMs?: number;
}

/**
 * Asks a mailbox one thing on a stream of its own: for what happens a few times a day.
 *
 * @param init.unsupported what is said when the mailbox is of a version that does not know the question
 * @returns the first frame of a known kind
 * @throws MailboxError `unsupported`, InvalidMessageError, the signal's reason, a TimeoutError, what the network throws
 */
export async function singleRequest(
  request: Uint8Array,
  {
    openStream,
    answerTimeoutMs = ANSWER_TIMEOUT_MS,
    unsupported,
    signal,
  }: SingleRequestInit & { unsupported: string; signal: AbortSignal },
): Promise<ServerFrame> {
  const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]) };
  const stream = await openStream(options);
  try {
    await sendFrames(stream, [request], options);
    // Nothing else is asked. A mailbox that does not know the question then ends the stream, and leaves nobody waiting.
    await stream.close(options);
    for await (const batch of readFrames(stream, { ...options, maxFrameBytes: MAX_SERVER_FRAME_BYTES })) {
      for (const bytes of batch) {
        const frame = decodeServerFrame(bytes);
        if (frame !== undefined) return frame;
      }
    }
    throw new MailboxError(unsupported, 'unsupported');
  } catch (error) {
    stream.abort(error as Error);
    throw error;
  }
}
