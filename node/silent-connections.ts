import { TimeoutError } from '@libp2p/interface';
import type { Connection } from '@libp2p/interface';
import { PING_PROTOCOL } from '@libp2p/ping';

/**
 * How long a peer may take to answer, over the time that what was sent before takes: a bad mobile network's round trip, and
 * a disk that stands still for seconds.
 */
const ANSWER_TIMEOUT_MS = 4_000;

export interface VerifyOptions {
  /** Ends it: nothing is dropped any more. */
  signal: AbortSignal;
  /** Patience for what lies in front of the question on a slow link. */
  extraMs?: number;
}

/**
 * Asks for a sign of life on each of a peer's connections, and drops those that give none. A network that is cut says
 * nothing: TCP tries for a quarter of an hour, and once it is mended still waits for the next of its ever rarer attempts.
 * Dialling anew is quicker, and until then there are mailboxes.
 *
 * @returns how many were dropped
 */
export async function dropSilent(
  connections: readonly Connection[],
  { signal, extraMs = 0 }: VerifyOptions,
): Promise<number> {
  const silent = await Promise.all(
    connections.map(async (connection) => {
      const late = AbortSignal.timeout(ANSWER_TIMEOUT_MS + extraMs);
      try {
        // Agreeing on a protocol takes an answer: there is no need to use it.
        const stream = await connection.newStream(PING_PROTOCOL, {
          signal: AbortSignal.any([signal, late]),
          runOnLimitedConnection: true,
        });
        stream.close().catch((error: unknown) => stream.abort(error as Error));
        return false;
      } catch {
        // Whatever else went wrong came from the peer, or from a connection that is gone by itself.
        if (!late.aborted || signal.aborted) return false;
        connection.abort(new TimeoutError('the peer does not answer any more'));
        return true;
      }
    }),
  );
  return silent.filter(Boolean).length;
}
