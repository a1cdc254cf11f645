import type {
  ComponentLogger,
  MessageStream,
  MultiaddrConnection,
  Stream,
  StreamMuxer,
  StreamMuxerFactory,
} from '@libp2p/interface';
import { tokenBucket } from './token-bucket.ts';
import { addressGroup } from './address-group.ts';
import { fairReading } from './fair-reading.ts';
import type { Reader } from './fair-reading.ts';
import { GUARD_LIMITS } from './limits.ts';

/** What is reached into: the muxer's own methods, which the package calls on itself. */
interface YamuxInsides {
  onData(data: Uint8Array): void;
  incomingStream(id: number): void;
  sendPing(id: number, flag: number): void;
}

/** The encrypted connection that a muxer writes to, and the socket's below it. */
interface Carrier extends MessageStream, ReadInsides {
  writeBufferLength: number;
  stream: MultiaddrConnection & ReadInsides;
}

/** How both hand on what was read. */
interface ReadInsides {
  readStatus: Stream['readStatus'];
  readBuffer: { readonly byteLength: number; sublist(from?: number, to?: number): unknown };
  dispatchReadBuffer(): void;
  sendResume(): void;
}

/** A peer that does what no peer of good will does. */
class FloodError extends Error {
  override name = 'FloodError';
}

/** The flag of a ping that answers one. */
const ACK = 2;

/** Between two looks at what waits to be written. */
const BACKLOG_LOOK_MS = 1_000;

/** Makes a connection hand on what was read a part at a time. @returns hands on one */
function inParts(connection: ReadInsides): () => void {
  const { readBuffer } = connection;
  const sublist = readBuffer.sublist.bind(readBuffer);
  readBuffer.sublist = (from = 0, to = Math.min(readBuffer.byteLength, GUARD_LIMITS.partBytes)) =>
    sublist(from, to);
  return connection.dispatchReadBuffer.bind(connection);
}

/** A connection that is paused again by what it hands on when it is resumed would read on all the same. */
function staysPaused(connection: ReadInsides): void {
  const sendResume = connection.sendResume.bind(connection);
  connection.sendResume = () => {
    if (connection.readStatus !== 'paused') sendResume();
  };
}

/**
 * How somebody is held back, and let go on. Either fails when the socket below has ended and the connection on it does not
 * know yet, and would take the program with it: then the connection is ended.
 */
export function holding(
  carrier: Pick<Stream, 'status' | 'readStatus' | 'pause' | 'resume' | 'abort'>,
): Pick<Reader, 'pause' | 'resume'> {
  const orEnd = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      carrier.abort(error as Error);
    }
  };
  return {
    pause() {
      if (carrier.status === 'open' && carrier.readStatus === 'readable') orEnd(() => carrier.pause());
    },
    resume() {
      if (carrier.readStatus === 'paused') orEnd(() => carrier.resume());
    },
  };
}

type Factory = (components: { logger: ComponentLogger }) => StreamMuxerFactory;

/**
 * Puts bounds on what yamux lets the other side of a connection ask for: streams opened a second, pings answered, answers
 * that wait because nobody reads them, and, when the thread is busy, its share of the work (`fairReading`).
 *
 * This reaches into the package, whose version is pinned, as `economiseWindowUpdates` does.
 */
export function guardedMuxer(create: Factory): Factory {
  const nowMs = (): number => performance.now();
  let used = process.threadCpuUsage();
  const fair = fairReading({
    nowMs,
    // Not the event loop's utilization: on a machine that others keep busy, that is high for a thread that does little.
    workedMs() {
      const { user, system } = process.threadCpuUsage(used);
      used = process.threadCpuUsage();
      return (user + system) / 1000;
    },
  });
  const carriers = new Set<Carrier>();
  let ticking: NodeJS.Timeout | undefined;

  /** Memory is for those that read: when too much waits in all, who lets most wait is cut. */
  const boundBacklog = (): void => {
    let total = 0;
    let largest: Carrier | undefined;
    for (const carrier of carriers) {
      total += carrier.writeBufferLength;
      if (largest === undefined || carrier.writeBufferLength > largest.writeBufferLength) largest = carrier;
    }
    if (total > GUARD_LIMITS.maxBacklogBytes) largest?.abort(new FloodError('it does not read'));
  };

  const begin = (): void => {
    ticking ??= setInterval(boundBacklog, BACKLOG_LOOK_MS).unref();
  };
  const end = (): void => {
    if (carriers.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  };

  const guard = (muxer: StreamMuxer, carrier: Carrier): void => {
    const insides = muxer as unknown as YamuxInsides;
    const streams = tokenBucket(GUARD_LIMITS.streams);
    const pings = tokenBucket(GUARD_LIMITS.pings);
    const reader = {
      group: addressGroup(carrier.stream.remoteAddr),
      ...holding(carrier),
    };
    const leave = fair.join(reader);
    carriers.add(carrier);
    begin();
    carrier.addEventListener(
      'close',
      () => {
        leave();
        carriers.delete(carrier);
        end();
      },
      { once: true },
    );

    let measuring = false;
    /** Counts the time of some work once: what is read from the socket goes on, decrypted, to the muxer. */
    const measured = (work: () => void): void => {
      if (measuring) {
        work();
        return;
      }
      measuring = true;
      const start = nowMs();
      try {
        work();
      } finally {
        measuring = false;
        fair.spent(reader, nowMs() - start);
      }
    };
    const dispatchPart = inParts(carrier.stream);
    carrier.stream.dispatchReadBuffer = () => {
      // Whoever has had enough is paused in between.
      do measured(dispatchPart);
      while (carrier.stream.readBuffer.byteLength > 0 && carrier.stream.readStatus === 'readable');
    };
    staysPaused(carrier);
    staysPaused(carrier.stream);
    const onData = insides.onData.bind(muxer);
    insides.onData = (data) => {
      measured(() => onData(data));
      fair.spent(reader, data.byteLength * GUARD_LIMITS.byteCostMs);
    };
    const incomingStream = insides.incomingStream.bind(muxer);
    insides.incomingStream = (id) => {
      if (streams.take(1, nowMs()).granted === 0) throw new FloodError('it opens too many streams');
      fair.spent(reader, GUARD_LIMITS.streamCostMs);
      incomingStream(id);
    };
    const sendPing = insides.sendPing.bind(muxer);
    insides.sendPing = (id, flag) => {
      if (flag === ACK && pings.take(1, nowMs()).granted === 0)
        throw new FloodError('it sends too many pings');
      sendPing(id, flag);
    };
  };

  return (components) => {
    const factory = create(components);
    const createStreamMuxer = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection) => {
      const muxer = createStreamMuxer(connection);
      guard(muxer, connection as unknown as Carrier);
      return muxer;
    };
    return factory;
  };
}
