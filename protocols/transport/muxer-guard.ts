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
import { GUARD_LIMITS } from './limits.ts';

/** What is reached into: the muxer's own methods, which the package calls on itself. */
interface YamuxInsides {
  onData(data: Uint8Array): void;
  incomingStream(id: number): void;
  sendPing(id: number, flag: number): void;
}

/** The encrypted connection that a muxer writes to, and the socket's below it. */
interface Carrier extends MessageStream {
  readStatus: Stream['readStatus'];
  writeBufferLength: number;
  stream: Pick<MultiaddrConnection, 'remoteAddr'>;
}

/** A peer that does what no peer of good will does. */
class FloodError extends Error {
  override name = 'FloodError';
}

/** The flag of a ping that answers one. */
const ACK = 2;

/** Between two looks at what waits to be written. */
const BACKLOG_LOOK_MS = 1_000;

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
  let lookedMs = 0;

  /** Memory is for those that read: when too much waits in all, who lets most wait is cut. */
  const boundBacklog = (): void => {
    if (nowMs() - lookedMs < BACKLOG_LOOK_MS) return;
    lookedMs = nowMs();
    let total = 0;
    let largest: Carrier | undefined;
    for (const carrier of carriers) {
      total += carrier.writeBufferLength;
      if (largest === undefined || carrier.writeBufferLength > largest.writeBufferLength) largest = carrier;
    }
    if (total > GUARD_LIMITS.maxBacklogBytes) largest?.abort(new FloodError('it does not read'));
  };

  const begin = (): void => {
    ticking ??= setInterval(() => {
      fair.tick();
      boundBacklog();
    }, fair.tickMs).unref();
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
      pause: () => {
        if (carrier.status === 'open' && carrier.readStatus === 'readable') carrier.pause();
      },
      resume: () => {
        if (carrier.readStatus === 'paused') carrier.resume();
      },
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

    const onData = insides.onData.bind(muxer);
    insides.onData = (data) => {
      const start = nowMs();
      try {
        onData(data);
      } finally {
        fair.spent(reader, nowMs() - start + data.byteLength * GUARD_LIMITS.byteCostMs);
      }
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
