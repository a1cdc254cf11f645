import { InvalidMessageError, TimeoutError } from '@libp2p/interface';
import type { Connection, PeerId, Stream, StreamHandlerOptions } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { BatchQueue } from '../framing/batch-queue.ts';
import { frameSink, readFrames, sendFrames } from '../framing/streams.ts';
import { encodeBlob } from './blob-frames.ts';
import { serveDepositors } from './depositors-handler.ts';
import type { DepositorsDecisions } from './depositors-handler.ts';
import { presentedCapability } from './presented-capability.ts';
import { isPrekeyRequest, servePrekeys } from './prekeys-handler.ts';
import type { PrekeyDecisions } from './prekeys-handler.ts';
import {
  answerRuns,
  decodeClientFrame,
  encodeAnswers,
  encodeEnd,
  MAX_CLIENT_FRAME_BYTES,
} from './protocol.ts';
import type { Answer, ClientFrame, Deposit, End_Reason, HeldBlob } from './protocol.ts';

/** A stream that does not say what it is for, or stays open after its end, is dropped after this long. */
const STREAM_TIMEOUT_MS = 20_000;

/**
 * A recipient that has not taken a part of its blobs (256 KiB at the most) after this long reads too slowly to be kept:
 * what it does not read lies in memory. They stay in the mailbox.
 */
const SEND_TIMEOUT_MS = 60_000;

/**
 * Batches of one stream that may be under commit together. While one is synced to disk the next ones are read and gather
 * for the commit after it. With at most 128 KiB and one chunk a batch, a stream holds less than 1 MiB of small blobs.
 */
const BATCHES_UNDER_COMMIT = 4;

/**
 * How the streams of this protocol are to be registered: a deposit, a collect and a prekey or depositors stream for a
 * connection, and for each the next one while it ends.
 */
export const MAILBOX_STREAMS: StreamHandlerOptions = {
  maxInboundStreams: 6,
  maxOutboundStreams: 6,
  runOnLimitedConnection: true,
};

/** What a mailbox decides; streams are the handler's. */
export interface MailboxDecisions {
  /**
   * Decides a batch of deposits. Resolves once what it says is stored is on disk, with one answer for each deposit, in
   * their order. Never rejects: what goes wrong is an answer.
   */
  deposit(depositor: PeerId, deposits: readonly Deposit[]): Promise<readonly Answer[]>;
  /** Begins to hand a peer its blobs, in place of the collection it had before. */
  collect(recipient: PeerId): Collection;
}

/** One collect stream's view of a mailbox. */
export interface Collection {
  /** Blobs to send, oldest first, as the window allows; ends when the collection does. */
  batches(): AsyncIterable<HeldBlob[]>;
  /**
   * The recipient has committed the next `count` blobs.
   *
   * @throws InvalidMessageError when it was not sent as many
   */
  acknowledge(count: number): void;
  /** Stops handing out blobs. */
  end(): void;
  /** Why the mailbox itself ended it. */
  readonly endReason: End_Reason | undefined;
}

/**
 * Serves `/mailbox/1.0.0` streams: decodes, asks `decisions`, encodes. A malformed or silent stream is aborted; refusals
 * are answers.
 *
 * @param init.signal ends all streams
 * @param init.prekeys decides about prekeys; left out, they are passed over, as frames of a later version are
 * @param init.depositors decides who may deposit; left out, requests about it are passed over
 */
export function mailboxHandler(
  decisions: MailboxDecisions,
  {
    signal,
    prekeys,
    depositors,
    streamTimeoutMs = STREAM_TIMEOUT_MS,
    sendTimeoutMs = SEND_TIMEOUT_MS,
  }: {
    signal: AbortSignal;
    prekeys?: PrekeyDecisions;
    depositors?: DepositorsDecisions;
    streamTimeoutMs?: number;
    sendTimeoutMs?: number;
  },
): (stream: Stream, connection: Connection) => Promise<void> {
  return async (stream, connection) => {
    const abortLater = (reason: string, timeoutMs = streamTimeoutMs): NodeJS.Timeout =>
      setTimeout(() => stream.abort(new TimeoutError(reason)), timeoutMs).unref();
    try {
      const isKnown = (frame: ClientFrame): boolean =>
        (prekeys !== undefined || !isPrekeyRequest(frame)) &&
        (depositors !== undefined || frame.type !== 'set-depositors');
      const frames = clientFrames(stream, isKnown, signal);
      const silent = abortLater('the stream did not say what it is for');
      const first = await frames.next().finally(() => clearTimeout(silent));
      if (first.done === true) {
        await stream.close({ signal });
        return;
      }
      const all = startingWith(first.value, frames);
      if (first.value[0]!.type === 'deposit') {
        await serveDeposits(
          stream,
          all,
          (deposits) => decisions.deposit(connection.remotePeer, deposits),
          signal,
        );
        await stream.close({ signal });
      } else if (prekeys !== undefined && isPrekeyRequest(first.value[0]!)) {
        await servePrekeys(stream, all, { decisions: prekeys, peer: connection.remotePeer, signal });
        await stream.close({ signal });
      } else if (depositors !== undefined && first.value[0]!.type === 'set-depositors') {
        await serveDepositors(stream, all, { decisions: depositors, peer: connection.remotePeer, signal });
        await stream.close({ signal });
      } else {
        const collection = decisions.collect(connection.remotePeer);
        // Each side's failure ends the other: sending may wait for a recipient that no longer reads.
        const abort = (error: unknown): void => stream.abort(error as Error);
        const reading = readAcknowledgements(all, collection).catch(abort);
        const stalled = (): NodeJS.Timeout =>
          abortLater('the recipient takes its blobs too slowly', sendTimeoutMs);
        await sendBlobs(stream, collection, { signal, stalled }).catch(abort);
        const lingering = abortLater('the stream was not closed after its end');
        await reading.finally(() => clearTimeout(lingering));
      }
    } catch (error) {
      stream.abort(error as Error);
    }
  };
}

/** The frames of known kinds, in batches, never empty. */
async function* clientFrames(
  stream: Stream,
  isKnown: (frame: ClientFrame) => boolean,
  signal: AbortSignal,
): AsyncGenerator<ClientFrame[], void, undefined> {
  for await (const batch of readFrames(stream, { maxFrameBytes: MAX_CLIENT_FRAME_BYTES, signal })) {
    const frames: ClientFrame[] = [];
    for (const bytes of batch) {
      const frame = decodeClientFrame(bytes);
      if (frame !== undefined && isKnown(frame)) frames.push(frame);
    }
    if (frames.length > 0) yield frames;
  }
}

async function* startingWith<T>(first: T, rest: AsyncGenerator<T>): AsyncGenerator<T, void, undefined> {
  yield first;
  yield* rest;
}

async function serveDeposits(
  stream: Stream,
  frames: AsyncIterable<ClientFrame[]>,
  decide: (deposits: Deposit[]) => Promise<readonly Answer[]>,
  signal: AbortSignal,
): Promise<void> {
  const fillIn = presentedCapability();
  await pipe(
    frames,
    overlapping(BATCHES_UNDER_COMMIT, async (batch: ClientFrame[]) => {
      const deposits: Deposit[] = [];
      for (const frame of batch) {
        if (frame.type !== 'deposit') {
          throw new InvalidMessageError(`a deposit stream carries deposits only, not ${frame.type}`);
        }
        deposits.push(frame.deposit);
      }
      fillIn(deposits);
      const seqs = deposits.map(({ seq }) => seq);
      return encodeAnswers(answerRuns(seqs, await decide(deposits)));
    }),
    frameSink(stream, { signal }),
  );
}

/**
 * A pipeline stage that has up to `limit` batches in work and passes on results as they are ready: all that is ready
 * together goes on together.
 */
function overlapping<In, Out>(
  limit: number,
  work: (batch: In) => Promise<Out[]>,
): (source: AsyncIterable<In>) => AsyncGenerator<Out[], void, undefined> {
  return async function* overlapped(source) {
    const results = new BatchQueue<Out>();
    let running = 0;
    let stopped = false;
    let wake: (() => void) | undefined;
    const fewerThan = async (count: number): Promise<void> => {
      for (;;) {
        if (running < count || stopped) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    const begin = async (batch: In): Promise<void> => {
      try {
        for (const result of await work(batch)) results.push(result);
      } catch (error) {
        results.end(error as Error);
      }
      running--;
      wake?.();
    };
    const read = async (): Promise<void> => {
      try {
        for await (const batch of source) {
          running++;
          void begin(batch);
          await fewerThan(limit);
          if (stopped) return;
        }
        await fewerThan(1);
        results.end();
      } catch (error) {
        results.end(error as Error);
      }
    };
    void read();
    try {
      yield* results;
    } finally {
      stopped = true;
      wake?.();
    }
  };
}

async function readAcknowledgements(
  frames: AsyncIterable<ClientFrame[]>,
  collection: Collection,
): Promise<void> {
  try {
    let begun = false;
    for await (const batch of frames) {
      for (const frame of batch) {
        if (frame.type !== (begun ? 'acknowledge' : 'collect')) {
          throw new InvalidMessageError(
            `a collect stream carries one collect, then acknowledgements, not ${frame.type}`,
          );
        }
        begun = true;
        if (frame.type === 'acknowledge') collection.acknowledge(frame.count);
      }
    }
  } finally {
    collection.end();
  }
}

async function sendBlobs(
  stream: Stream,
  collection: Collection,
  { signal, stalled }: { signal: AbortSignal; stalled: () => NodeJS.Timeout },
): Promise<void> {
  try {
    for await (const batch of collection.batches()) {
      const late = stalled();
      await sendFrames(stream, batch.map(encodeBlob), { signal }).finally(() => clearTimeout(late));
    }
    if (collection.endReason !== undefined) {
      await sendFrames(stream, [encodeEnd(collection.endReason)], { signal });
    }
    await stream.close({ signal });
  } finally {
    collection.end();
  }
}
