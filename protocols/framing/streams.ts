import { InvalidMessageError, StreamResetError, TimeoutError } from '@libp2p/interface';
import type { MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface';
import { encodeFrames, FrameDecoder } from './frames.ts';

/** Bytes of decoded frames that may wait for a slow consumer before the stream is paused: two coalesced writes. */
const READ_AHEAD_BYTES = 128 * 1024;

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
  /** How long an unfinished frame may take, default 20 s. */
  frameTimeoutMs?: number;
}

/**
 * Reads a stream as batches: all the frames found since the consumer last asked. Use it as the source of an `it-pipe`
 * pipeline. A consumer that is slow slows the sender: the stream is paused while 128 KiB wait.
 *
 * Ends when the remote closes its side between frames.
 *
 * @throws InvalidMessageError when a frame is too long or cut off by the end of the stream
 * @throws TimeoutError when a frame stays unfinished
 * @throws the stream's own error when it is reset, or the signal's reason
 */
export async function* readFrames(
  stream: MessageStream,
  { maxFrameBytes, signal, frameTimeoutMs = FRAME_TIMEOUT_MS }: ReadFramesOptions,
): AsyncGenerator<Uint8Array[], void, undefined> {
  const decoder = new FrameDecoder(maxFrameBytes);
  let frames: Uint8Array[] = [];
  let waitingBytes = 0;
  let paused = false;
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;

  const fail = (error: Error): void => {
    failure ??= error;
    wake?.();
  };
  const onMessage = (event: StreamMessageEvent): void => {
    try {
      for (const frame of decoder.push(event.data.subarray())) {
        frames.push(frame);
        waitingBytes += frame.byteLength;
      }
    } catch (error) {
      fail(error as Error);
      return;
    }
    if (waitingBytes > READ_AHEAD_BYTES && !paused && !ended) {
      paused = true;
      stream.pause();
    }
    if (frames.length > 0) wake?.();
    else watch();
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
  /** Runs only while a frame is unfinished, so an honest stream never has a timer. */
  const watch = (): void => {
    if (!decoder.midFrame || timer !== undefined) return;
    timer = setTimeout(
      () => fail(new TimeoutError('a frame was begun and not finished in time')),
      frameTimeoutMs,
    );
    timer.unref();
  };

  if (signal.aborted) throw signal.reason;
  signal.addEventListener('abort', onAbort);
  stream.addEventListener('end', onEnd);
  stream.addEventListener('close', onClose);
  stream.addEventListener('message', onMessage);
  if (stream.readableEnded) ended = true;
  if (stream.status === 'reset' || stream.status === 'aborted') failure = new StreamResetError();
  if (stream.status === 'closed') ended = true;
  try {
    for (;;) {
      if (frames.length > 0) {
        clearTimeout(timer);
        timer = undefined;
        const batch = frames;
        frames = [];
        waitingBytes = 0;
        watch();
        yield batch;
        continue;
      }
      if (failure !== undefined) throw failure;
      if (paused) {
        paused = false;
        stream.resume();
        continue;
      }
      if (ended) {
        if (decoder.midFrame) throw new InvalidMessageError('the stream ended in the middle of a frame');
        return;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    }
  } finally {
    clearTimeout(timer);
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

/** Sends bytes and waits while the stream is full: a slow reader slows its writer. */
async function send(stream: MessageStream, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!stream.send(bytes)) await drained(stream, signal);
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
    while (to < frames.length && (to === from || bytes + frames[to]!.byteLength <= COALESCE_BYTES)) {
      bytes += frames[to]!.byteLength;
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
