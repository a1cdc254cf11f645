import { InvalidMessageError } from '@libp2p/interface';
import type { PeerId, Stream } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { frameSink } from '../framing/streams.ts';
import { encodeDepositorsAnswer } from './depositors-frames.ts';
import type { DepositorsChange, DepositorsRefusal, DepositorsSetAnswer } from './depositors-frames.ts';
import type { ClientFrame } from './protocol.ts';

/** What a mailbox decides about who may deposit. Nothing here rejects: what goes wrong is an answer. */
export interface DepositorsDecisions {
  /** Blocks and unblocks depositors for an owner. Resolves once that is on disk. */
  set(owner: PeerId, change: DepositorsChange): Promise<DepositorsSetAnswer | DepositorsRefusal>;
}

/**
 * Serves a depositors stream until its client has no more to ask: one answer for each request, one after the other, since a
 * later one may take back what an earlier one asks for.
 *
 * @throws InvalidMessageError when a frame does not belong on a depositors stream
 */
export async function serveDepositors(
  stream: Stream,
  frames: AsyncIterable<ClientFrame[]>,
  { decisions, peer, signal }: { decisions: DepositorsDecisions; peer: PeerId; signal: AbortSignal },
): Promise<void> {
  await pipe(
    frames,
    async function* answered(batches: AsyncIterable<ClientFrame[]>) {
      for await (const batch of batches) {
        for (const frame of batch) {
          if (frame.type !== 'set-depositors') {
            throw new InvalidMessageError(
              `a depositors stream carries requests about depositors, not ${frame.type}`,
            );
          }
          yield [encodeDepositorsAnswer(await decisions.set(peer, frame.change))];
        }
      }
    },
    frameSink(stream, { signal }),
  );
}
