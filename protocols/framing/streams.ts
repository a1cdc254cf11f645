import { InvalidMessageError, StreamResetError, TimeoutError } from '@libp2p/interface';
import type { MessageStream, Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface';
import { encodeFrames, FrameDecoder, framedBytes } from './frames.ts';

/** Bytes that may wait for a slow consumer before the stream is paused, and the most a batch is made of. */
const READ_AHEAD_BYTES = 128 * 1024;

/**
 * Bytes decoded at a time. A frame costs memory of its own (some 100 bytes for the view on its chunk), so a chunk full of
 * tiny frames is not decoded all at once: a batch ends when it and its views have reached the read-ahead.
 */
const DECODE_BYTES = 16 * 1024;

/** What the view on a frame costs in memory. */
const VIEW_BYTES = 100;

/**
 * The most bytes handed to the stack in one `send`. Noise cuts at 65,535 bytes and yamux at its window of 256 KiB;
 * more than this per call gains nothing and delays the other streams of the connection.
 */
const COALESCE_BYTES = 64 * 1024;

/** A frame once begun has this long to arrive whole, else the stream is a slowloris and is dropped. */
const FRAME_TIMEOUT_MS = 20_000;

export interface ReadFramesOptions {
  /** The largest frame accepted, in bytes. */
  maxFrameBytes: number;
  signal: AbortSignal;
  /** How long an unfinished frame may be waited for, default 20 s. */
  frameTimeoutMs?: number;
}

/**
 * Reads a stream as batches: the frames found since the consumer last asked, as many as 128 KiB hold. Use it as the
 * source of an `it-pipe` pipeline. A consumer that is slow slows the sender: the stream is paused while 128 KiB wait.
 *
 * Ends when the remote closes its side between frames. What arrived before the stream broke is still read.
 *
 * @throws InvalidMessageError when a frame is too long or cut off by the end of the stream
 * @throws TimeoutError when a frame stays unfinished; time in which the consumer was busy does not count
 * @throws the stream's own error when it is reset, or the signal's reason
 */
export async function* readFrames(
  stream: Stream,
  { maxFrameBytes, signal, frameTimeoutMs = FRAME_TIMEOUT_MS }: ReadFramesOptions,
): AsyncGenerator<Uint8Array[], void, undefined> {
  const decoder = new FrameDecoder(maxFrameBytes);
  let chunks: Uint8Array[] = [];
  let waitingBytes = 0;
  let ended = false;
  let resuming = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;

  const fail = (error: Error): void => {
    failure ??= error;
    wake?.();
  };
  const pauseIfFull = (): void => {
    if (waitingBytes > READ_AHEAD_BYTES && !resuming && stream.readStatus === 'readable') stream.pause();
  };
  const onMessage = (event: StreamMessageEvent): void => {
    chunks.push(event.data.subarray());
    waitingBytes += event.data.byteLength;
    pauseIfFull();
    wake?.();
  };
  const onEnd = (): void => {
    ended = true;
    wake?.();
  };
  const onClose = (event: StreamCloseEvent): void => {
    if (event.error !== undefined) fail(event.error);
    onEnd();
  };
  const onAbort = (): void => fail(signal.reason as Error);
  const disarm = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  /** Runs only while a frame is unfinished and nothing else is left to do, so an honest stream hardly ever has a timer. */
  const arm = (): void => {
    timer ??= setTimeout(
      () => fail(new TimeoutError('a frame was begun and not finished in time')),
      frameTimeoutMs,
    ).unref();
  };
  /** Decodes what waits, up to a batch. Empty when no frame is whole. */
  const take = (): Uint8Array[] => {
    const batch: Uint8Array[] = [];
    let cost = 0;
    let at = 0;
    while (at < chunks.length && cost < READ_AHEAD_BYTES) {
      const chunk = chunks[at]!;
      const frames = decoder.push(chunk.subarray(0, DECODE_BYTES));
      for (const frame of frames) batch.push(frame);
      const decodedBytes = Math.min(chunk.byteLength, DECODE_BYTES);
      cost += decodedBytes + frames.length * VIEW_BYTES;
      waitingBytes -= decodedBytes;
      if (decodedBytes < chunk.byteLength) chunks[at] = chunk.subarray(decodedBytes);
      else at++;
    }
    chunks = chunks.slice(at);
    return batch;
  };

  signal.throwIfAborted();
  signal.addEventListener('abort', onAbort);
  stream.addEventListener('end', onEnd);
  stream.addEventListener('close', onClose);
  stream.addEventListener('message', onMessage);
  // Not when the stream is merely closed: what came before may still wait in it, and `end` comes after that.
  if (stream.readableEnded) ended = true;
  if (stream.status === 'reset' || stream.status === 'aborted') failure = new StreamResetError();
  try {
    for (;;) {
      signal.throwIfAborted();
      if (chunks.length > 0) {
        const batch = take();
        if (batch.length > 0) {
          disarm();
          yield batch;
        }
        continue;
      }
      if (failure !== undefined) throw failure;
      if (stream.readStatus === 'paused') {
        // Hands over at once what has gathered in it meanwhile. Paused from within that, a yamux stream would let the other
        // side send on without end (libp2p 3.3): its own resuming comes last.
        resuming = true;
        stream.resume();
        resuming = false;
        pauseIfFull();
        continue;
      }
      if (ended) {
        if (decoder.midFrame) throw new InvalidMessageError('the stream ended in the middle of a frame');
        return;
      }
      if (decoder.midFrame) arm();
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    }
  } finally {
    disarm();
    signal.removeEventListener('abort', onAbort);
    stream.removeEventListener('end', onEnd);
    stream.removeEventListener('close', onClose);
    stream.removeEventListener('message', onMessage);
  }
}

/** Resolves when the stream takes more data; rejects when it closes or the signal fires. */
async function drained(stream: MessageStream, signal: AbortSignal): Promise<void> {
  // Not `stream.onDrain()`: it resolves at once after its first use (libp2p 3.3).
  await new Promise<void>((resolve, reject) => {
    const settle = (finish: () => void): void => {
      stream.removeEventListener('drain', onDrain);
      stream.removeEventListener('close', onClose);
      signal.removeEventListener('abort', onAbort);
      finish();
    };
    const onDrain = (): void => settle(resolve);
    const onClose = (event: StreamCloseEvent): void =>
      settle(() => reject(event.error ?? new StreamResetError()));
    const onAbort = (): void => settle(() => reject(signal.reason as Error));
    stream.addEventListener('drain', onDrain);
    stream.addEventListener('close', onClose);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    else if (stream.status !== 'open') settle(() => reject(new StreamResetError()));
    else if (!stream.writableNeedsDrain) onDrain();
  });
}

/**
 * Sends bytes, 64 KiB at a time, and waits while the stream is full: a slow reader slows its writer. A drain is not always
 * room for all that waits in the stream, so it is waited for again until it was.
 */
async function send(stream: MessageStream, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += COALESCE_BYTES) {
    signal.throwIfAborted();
    const piece = bytes.byteLength <= COALESCE_BYTES ? bytes : bytes.subarray(at, at + COALESCE_BYTES);
    if (stream.send(piece)) continue;
    do await drained(stream, signal);
    while (stream.writableNeedsDrain);
  }
}

/**
 * Writes frames, joined into as few `send` calls as 64 KiB each allow.
 *
 * @throws the stream's error when it closes on the way, or the signal's reason
 */
export async function sendFrames(
  stream: MessageStream,
  frames: readonly Uint8Array[],
  { signal }: { signal: AbortSignal },
): Promise<void> {
  let from = 0;
  while (from < frames.length) {
    let bytes = 0;
    let to = from;
    while (to < frames.length) {
      bytes += framedBytes(frames[to]!.byteLength);
      if (bytes > COALESCE_BYTES && to > from) break;
      to++;
    }
    await send(stream, encodeFrames(frames.slice(from, to)), signal);
    from = to;
  }
}

/** The sink of an `it-pipe` pipeline whose stages pass batches of frames. */
export function frameSink(
  stream: MessageStream,
  options: { signal: AbortSignal },
): (source: AsyncIterable<Uint8Array[]>) => Promise<void> {
  return async (source) => {
    for await (const batch of source) await sendFrames(stream, batch, options);
  };
}

/** The sink of a pipeline whose stages pass batches of bytes that `encodeFrames` has made already. */
export function encodedSink(
  stream: MessageStream,
  { signal }: { signal: AbortSignal },
): (source: AsyncIterable<Uint8Array[]>) => Promise<void> {
  return async (source) => {
    for await (const batch of source) {
      await send(stream, batch.length === 1 ? batch[0]! : Buffer.concat(batch), signal);
    }
  };
}
