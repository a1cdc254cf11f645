import type { Stream } from '@libp2p/interface';
import type { KadDHTComponents } from '@libp2p/kad-dht';
import { FrameDecoder } from '../framing/frames.ts';
import { addressGroup } from '../transport/address-group.ts';
import { keyedRate } from '../transport/keyed-rate.ts';
import type { BucketLimits } from '../transport/token-bucket.ts';
import { DHT_MESSAGE_LIMITS } from './message-guard.ts';

type Registrar = KadDHTComponents['registrar'];

/**
 * Requests of one address answered at once, and a second. A lookup asks each server two or three times; a request takes a
 * third of a millisecond.
 */
export const REQUESTS_PER_ADDRESS: BucketLimits = { burst: 400, perSecond: 100 };

/** Requests begun together: a millisecond's worth, for which the others wait. */
const PER_TURN = 4;

/** What the others have the thread for, before the next are begun: of all its time a quarter is for requests. */
const BETWEEN_TURNS_MS = 4;

export interface PaceInit {
  limits?: BucketLimits;
  perTurn?: number;
  nowMs?: () => number;
}

/** A stream that is paused by us, as kad-dht should see it: it takes one that can't be read from for one that has ended. */
function seenReadable(stream: Stream): Stream {
  return new Proxy(stream, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (property === 'readStatus' && value === 'paused') return 'readable';
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
    set: (target, property, value) => Reflect.set(target, property, value),
  });
}

/**
 * A registrar whose handlers answer a few requests a turn of the event loop, over all streams, and so many a second of an
 * address. kad-dht by itself answers all that it has of a stream, a thousand at a time, before anybody else gets a word in.
 * Nobody is refused: it takes longer, and a stream is not read from while requests of it wait. It waits for `drain` when a stream has no room, so that is what it is told.
 */
export function pacedRegistrar(
  registrar: Registrar,
  { limits = REQUESTS_PER_ADDRESS, perTurn = PER_TURN, nowMs = () => performance.now() }: PaceInit = {},
): Registrar {
  const rate = keyedRate(limits);
  const waiting: (() => void)[] = [];
  let turning = false;

  const turn = (): void => {
    for (const go of waiting.splice(0, perTurn)) go();
    turning = waiting.length > 0;
    if (turning) setTimeout(turn, BETWEEN_TURNS_MS).unref();
  };

  const queue = (go: () => void): void => {
    waiting.push(go);
    if (!turning) setImmediate(turn);
    turning = true;
  };

  const pace = (stream: Stream, group: string): void => {
    const send = stream.send.bind(stream);
    const frames = new FrameDecoder(DHT_MESSAGE_LIMITS.maxRequestBytes);
    /** Requests that have come and are not answered. */
    let unanswered = 0;
    let resuming = false;
    const pauseIfBusy = (): void => {
      if (unanswered > 0 && !resuming && stream.readStatus === 'readable') stream.pause();
    };
    stream.addEventListener('message', ({ data }) => {
      try {
        unanswered += frames.push(data.subarray()).length;
      } catch {
        // What is malformed ends the stream: see `guardStream`.
      }
      pauseIfBusy();
    });
    const drained = (): void => {
      unanswered--;
      if (unanswered <= 0 && stream.readStatus === 'paused') {
        // As in framing/streams.ts: paused from within resuming, a stream lets the other side send on without end.
        resuming = true;
        stream.resume();
        resuming = false;
        pauseIfBusy();
      }
      stream.dispatchEvent(new Event('drain'));
    };
    stream.send = (data) => {
      if (!send(data)) return false;
      const { granted, retryAfterMs } = rate.take(group, 1, nowMs());
      if (granted === 1) queue(drained);
      else setTimeout(drained, retryAfterMs).unref();
      return false;
    };
  };

  const handle: Registrar['handle'] = async (protocol, handler, options) =>
    registrar.handle(
      protocol,
      (stream, connection) => {
        pace(stream, addressGroup(connection.remoteAddr));
        return handler(seenReadable(stream), connection);
      },
      options,
    );
  return new Proxy(registrar, {
    get(target, property) {
      if (property === 'handle') return handle;
      const value: unknown = Reflect.get(target, property);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
