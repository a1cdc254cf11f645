import { hash } from 'node:crypto';
import {
  InvalidMessageError,
  InvalidParametersError,
  StreamResetError,
  TimeoutError,
} from '@libp2p/interface';
import type { PeerId, Stream } from '@libp2p/interface';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { encodeDeposit } from './blob-frames.ts';
import { depositOutcome, MailboxError } from './errors.ts';
import type { DepositAnswer } from './errors.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import { presenter } from './presented-capability.ts';
import {
  decodeServerFrame,
  MAX_BLOB_BYTES,
  MAX_CAPABILITY_BYTES,
  MAX_SERVER_FRAME_BYTES,
  nextSeq,
} from './protocol.ts';
import type { AnswerRun } from './protocol.ts';

/**
 * Deposits on their way at the most. The mailbox has up to four batches of about 150 KiB of one stream in work; this
 * keeps it supplied while a batch of answers travels.
 */
const IN_FLIGHT_DEPOSITS = 4096;
const IN_FLIGHT_BYTES = 2 * 1024 * 1024;

/** Deposits written in one go: the mailbox starts on them while the next are being encoded. */
const DEPOSITS_PER_WRITE = 128;

/** Deposits that may wait for their turn; beyond them callers are told `busy`. Bounds memory. */
const WAITING_DEPOSITS = 16_384;
const WAITING_BYTES = 16 * 1024 * 1024;

/** A mailbox that has deposits in hand and answers none for this long is taken for dead. A commit takes milliseconds. */
const ANSWER_TIMEOUT_MS = 30_000;

/** What to leave for whom. */
export interface DepositRequest {
  recipient: PeerId;
  /** At most 256 KiB. Not to be changed until the answer is there. */
  blob: Uint8Array;
  /** Milliseconds since 1970. */
  expiresMs: number;
  /**
   * What the recipient has signed for us (capability.ts); at most 256 bytes. Without one, or with one that does not hold, we
   * deposit as a stranger: four blobs, and whatever all strangers together have left.
   */
  capability?: Uint8Array;
}

export interface DepositorInit {
  /** Opens a `/mailbox/1.0.0` stream; called again after the last one failed. */
  openStream: (options: { signal: AbortSignal }) => Promise<Stream>;
  /** Ends the stream and everything that waits. */
  signal: AbortSignal;
  answerTimeoutMs?: number;
}

export interface Depositor {
  /**
   * Leaves one blob. Deposits asked for in one turn of the event loop travel together.
   *
   * @throws MailboxError when it is refused
   * @throws what the network threw when there is no telling; depositing again is safe, since the mailbox knows blobs by
   * their hash
   */
  deposit(request: DepositRequest): Promise<DepositAnswer>;
  /** Leaves many blobs, in order; never rejects. What went wrong with one stands in its place. */
  depositAll(requests: readonly DepositRequest[]): Promise<Array<DepositAnswer | Error>>;
  /** Deposits without an answer. */
  readonly waiting: number;
}

interface Pending extends DepositRequest {
  settle: (outcome: DepositAnswer | Error) => void;
}

interface Session {
  stream: Stream;
  inFlight: Map<number, Pending>;
  inFlightBytes: number;
  seq: number;
  capabilityToSend: ReturnType<typeof presenter>;
  /** Runs while deposits are in flight. */
  timer: NodeJS.Timeout | undefined;
  /** Wakes the writer when an answer has made room. */
  wake: (() => void) | undefined;
  failure: Error | undefined;
}

/**
 * The depositing side of `/mailbox/1.0.0` (see the README beside it): one stream, opened when needed, many deposits in
 * flight.
 *
 * @example
 * ```ts
 * const mailbox = depositor({ openStream: ({ signal }) => connection.newStream(MAILBOX_PROTOCOL, { signal }), signal })
 * const { keptUntilMs } = await mailbox.deposit({ recipient, blob, expiresMs: Date.now() + 21 * 86_400_000 })
 * ```
 */
export function depositor({
  openStream,
  signal,
  answerTimeoutMs = ANSWER_TIMEOUT_MS,
}: DepositorInit): Depositor {
  let queue: Pending[] = [];
  let waiting = 0;
  let waitingBytes = 0;
  let running = false;
  let session: Session | undefined;

  const finish = (pending: Pending, outcome: DepositAnswer | Error): void => {
    waiting--;
    waitingBytes -= pending.blob.byteLength;
    pending.settle(outcome);
  };

  const refusal = ({ blob, expiresMs, capability }: DepositRequest): Error | undefined => {
    if (signal.aborted) return signal.reason as Error;
    if (blob.byteLength > MAX_BLOB_BYTES) {
      return new MailboxError(
        `blob: ${blob.byteLength} bytes are over the limit of ${MAX_BLOB_BYTES}`,
        'too-large',
      );
    }
    if (!Number.isSafeInteger(expiresMs) || expiresMs < 0) {
      return new InvalidParametersError('expiresMs: not a time in milliseconds');
    }
    if (capability !== undefined && capability.byteLength > MAX_CAPABILITY_BYTES) {
      return new InvalidParametersError(
        `capability: ${capability.byteLength} bytes are over the limit of ${MAX_CAPABILITY_BYTES}`,
      );
    }
    if (waiting >= WAITING_DEPOSITS || waitingBytes + blob.byteLength > WAITING_BYTES) {
      return new MailboxError('too many deposits wait for an answer', 'busy');
    }
    return undefined;
  };

  const add = (request: DepositRequest, settle: Pending['settle']): void => {
    const error = refusal(request);
    if (error !== undefined) {
      settle(error);
      return;
    }
    waiting++;
    waitingBytes += request.blob.byteLength;
    const { recipient, blob, expiresMs, capability } = request;
    queue.push({ recipient, blob, expiresMs, ...(capability !== undefined && { capability }), settle });
    if (running) return;
    running = true;
    setImmediate(() => void run());
  };

  const failQueue = (error: Error): void => {
    const failed = queue;
    queue = [];
    for (const pending of failed) finish(pending, error);
  };

  const end = (ended: Session, error: Error): void => {
    if (ended.failure !== undefined) return;
    ended.failure = error;
    if (session === ended) session = undefined;
    clearTimeout(ended.timer);
    ended.stream.abort(error);
    for (const pending of ended.inFlight.values()) finish(pending, error);
    ended.inFlight.clear();
    ended.wake?.();
  };

  const open = async (): Promise<Session> => {
    const stream = await openStream({ signal });
    const opened: Session = {
      stream,
      inFlight: new Map(),
      inFlightBytes: 0,
      seq: 0,
      capabilityToSend: presenter(),
      timer: undefined,
      wake: undefined,
      failure: undefined,
    };
    session = opened;
    void readAnswers(opened);
    return opened;
  };

  const readAnswers = async (from: Session): Promise<void> => {
    try {
      for await (const batch of readFrames(from.stream, { maxFrameBytes: MAX_SERVER_FRAME_BYTES, signal })) {
        for (const bytes of batch) {
          const frame = decodeServerFrame(bytes);
          if (frame?.type === 'answers') for (const run of frame.runs) take(from, run);
        }
        if (from.inFlight.size === 0) {
          clearTimeout(from.timer);
          from.timer = undefined;
        } else {
          from.timer?.refresh();
        }
        from.wake?.();
      }
      end(from, new StreamResetError('the mailbox closed the stream'));
    } catch (error) {
      end(from, error as Error);
    }
  };

  const take = (from: Session, run: AnswerRun): void => {
    const outcome = depositOutcome(run);
    let seq = run.firstSeq;
    for (let i = 0; i < run.count; i++) {
      const pending = from.inFlight.get(seq);
      if (pending === undefined)
        throw new InvalidMessageError(`an answer to deposit ${seq}, which is not in flight`);
      from.inFlight.delete(seq);
      from.inFlightBytes -= pending.blob.byteLength;
      finish(pending, outcome);
      seq = nextSeq(seq);
    }
  };

  /** Takes what the window has room for from the queue. */
  const nextFrames = (to: Session): Uint8Array[] => {
    const frames: Uint8Array[] = [];
    let at = 0;
    while (
      at < queue.length &&
      at < DEPOSITS_PER_WRITE &&
      to.inFlight.size < IN_FLIGHT_DEPOSITS &&
      to.inFlightBytes < IN_FLIGHT_BYTES
    ) {
      const pending = queue[at++]!;
      const { recipient, blob, expiresMs } = pending;
      const capability = to.capabilityToSend(pending);
      frames.push(
        encodeDeposit({
          seq: to.seq,
          recipient: peerIdToBytes(recipient),
          blobId: hash('sha256', blob, 'buffer'),
          expiresMs,
          blob,
          ...(capability !== undefined && { capability }),
        }),
      );
      to.inFlight.set(to.seq, pending);
      to.inFlightBytes += blob.byteLength;
      to.seq = nextSeq(to.seq);
    }
    queue = queue.slice(at);
    return frames;
  };

  /** Writes until the queue is empty. */
  const run = async (): Promise<void> => {
    while (queue.length > 0) {
      let to: Session;
      try {
        to = session ?? (await open());
        // Else a mailbox that ends every stream at once would be asked for ever.
        if (to.failure !== undefined) throw to.failure;
      } catch (error) {
        failQueue(error as Error);
        break;
      }
      const frames = nextFrames(to);
      if (frames.length === 0) {
        await room(to);
        continue;
      }
      to.timer ??= setTimeout(
        () => end(to, new TimeoutError('the mailbox does not answer')),
        answerTimeoutMs,
      ).unref();
      try {
        await sendFrames(to.stream, frames, { signal });
      } catch (error) {
        end(to, error as Error);
      }
    }
    running = false;
  };

  const room = async (at: Session): Promise<void> => {
    await new Promise<void>((resolve) => {
      at.wake = resolve;
    });
    at.wake = undefined;
  };

  return {
    deposit: (request) =>
      new Promise((resolve, reject) => {
        add(request, (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)));
      }),
    depositAll: (requests) =>
      new Promise((resolve) => {
        const outcomes: Array<DepositAnswer | Error> = [];
        let missing = requests.length;
        if (missing === 0) resolve(outcomes);
        for (const [i, request] of requests.entries()) {
          add(request, (outcome) => {
            outcomes[i] = outcome;
            if (--missing === 0) resolve(outcomes);
          });
        }
      }),
    get waiting() {
      return waiting;
    },
  };
}
