import { InvalidMessageError, InvalidParametersError } from '@libp2p/interface';
import type { PeerId } from '@libp2p/interface';
import { encodeDepositorsRequest, MAX_BLOCKED_DEPOSITORS } from './depositors-frames.ts';
import type { DepositorsChange } from './depositors-frames.ts';
import { depositorsError } from './errors.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import { singleRequest } from './single-request.ts';
import type { SingleRequestInit } from './single-request.ts';

/**
 * A mailbox, as far as it is told whom it shall refuse. Both throw MailboxError for a refusal (`rate-limited`, `full`,
 * `unavailable`; `unsupported` when the mailbox is of a version that blocks nobody), InvalidParametersError for over 1,000
 * peers, InvalidMessageError when the mailbox breaks the protocol, the signal's reason, a TimeoutError after 30 s without an
 * answer, and what the network throws. All of a request is done, or nothing; without an answer, ask again.
 */
export interface DepositorsClient {
  /**
   * Has the mailbox take nothing for us from these peers: what waits from them is deleted, what they deposit is refused, and
   * capabilities issued until `atMs` are void. On the mailbox's disk when it resolves, and kept for 730 days after it was
   * last asked for.
   *
   * @param options.atMs now, by the clock that our capabilities are issued by, in milliseconds since 1970
   * @returns how many peers are blocked there
   */
  block(
    peers: readonly PeerId[],
    options: { atMs: number; signal: AbortSignal },
  ): Promise<{ blocked: number }>;
  /**
   * Has the mailbox take what these peers deposit again: as strangers, until they have a capability that was issued after
   * `atMs` of the block. Who is not blocked is passed over.
   *
   * @returns how many peers are blocked there
   */
  unblock(peers: readonly PeerId[], options: { signal: AbortSignal }): Promise<{ blocked: number }>;
}

/**
 * Tells a mailbox whom it shall refuse, one stream a request.
 *
 * @example
 * ```ts
 * const depositors = depositorsClient({ openStream: ({ signal }) => connection.newStream(MAILBOX_PROTOCOL, { signal }) })
 * await depositors.block([pest], { atMs: Date.now(), signal })
 * ```
 */
export function depositorsClient(init: SingleRequestInit): DepositorsClient {
  const set = async (
    change: DepositorsChange,
    { signal }: { signal: AbortSignal },
  ): Promise<{ blocked: number }> => {
    const answer = await singleRequest(encodeDepositorsRequest({ type: 'set-depositors', change }), {
      ...init,
      unsupported: 'the mailbox blocks nobody',
      signal,
    });
    if (answer.type === 'depositors-set') return { blocked: answer.blocked };
    throw answer.type === 'depositors-refused'
      ? depositorsError(answer)
      : new InvalidMessageError(`the mailbox answered a request about depositors with ${answer.type}`);
  };

  return {
    async block(peers, { atMs, signal }) {
      if (!Number.isSafeInteger(atMs) || atMs < 0) {
        throw new InvalidParametersError('atMs: not a time in milliseconds');
      }
      return set({ block: bytesOf(peers), unblock: [], atMs }, { signal });
    },

    async unblock(peers, options) {
      return set({ block: [], unblock: bytesOf(peers), atMs: 0 }, options);
    },
  };
}

/** @throws InvalidParametersError */
function bytesOf(peers: readonly PeerId[]): Uint8Array[] {
  if (peers.length > MAX_BLOCKED_DEPOSITORS) {
    throw new InvalidParametersError(`peers: ${peers.length}, not ${MAX_BLOCKED_DEPOSITORS} at the most`);
  }
  return peers.map(peerIdToBytes);
}
