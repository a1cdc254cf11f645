import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Stream } from '@libp2p/interface';
import { encodeMessage } from '../../../protocols/chat/message.ts';
import type { ChatMessage } from '../../../protocols/chat/message.ts';
import { CHAT_PROTOCOL, encodeHello, encodeMessageFrame } from '../../../protocols/chat/protocol.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { reaction } from '../../harness/stranger.ts';
import type { Stranger } from '../../harness/stranger.ts';

/** A busy target is left alone after this long. */
const PATIENCE_MS = 1_000;

const NONE = new Uint8Array(0);

/** A message out of nowhere: the first of a chain that nobody has heard of, unless said otherwise. */
export function messageFrame(fields: Partial<ChatMessage> = {}): Uint8Array {
  return encodeMessageFrame(
    encodeMessage({
      id: randomBytes(16),
      chain: randomBytes(8),
      counter: 1,
      previous: NONE,
      clockMs: Date.now(),
      clockCount: 0,
      sentAtMs: Date.now(),
      text: 'buy now',
      ...fields,
    }),
  );
}

/** Opens a chat stream, greets, and hears the answer. */
export async function chatWith(
  peer: Stranger,
  address: string,
  { signal }: { signal: AbortSignal },
): Promise<Stream> {
  const stream = await peer.open(address, CHAT_PROTOCOL);
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  const answered = reaction(stream);
  stream.send(encodeFrames([encodeHello({ features: [], contactCard: NONE, nameCertificate: NONE })]));
  await Promise.race([answered, once(patience, 'abort')]);
  if (stream.status !== 'open') throw new Error('the stream was ended');
  stream.addEventListener('message', () => undefined);
  return stream;
}

/** Writes frames until the stream is full, has ended, or `count` are written; waits for room. */
export async function pour(
  stream: Stream,
  frame: () => Uint8Array,
  { count, signal }: { count: number; signal: AbortSignal },
): Promise<void> {
  const BATCH = 64;
  for (let sent = 0; sent < count && stream.status === 'open' && !signal.aborted; sent += BATCH) {
    const frames = Array.from({ length: Math.min(BATCH, count - sent) }, frame);
    if (!stream.send(encodeFrames(frames)))
      await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]);
    else await new Promise((resolve) => setImmediate(resolve));
  }
}
