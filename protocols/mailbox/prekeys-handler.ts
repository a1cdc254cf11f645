import { InvalidMessageError } from '@libp2p/interface';
import type { PeerId, Stream } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { frameSink } from '../framing/streams.ts';
import { encodePrekeyAnswer } from './prekey-frames.ts';
import type {
  PrekeyAnswer,
  PrekeyRefusal,
  PrekeyRequest,
  PrekeysCountedAnswer,
  PrekeysPublishedAnswer,
  PrekeyTakenAnswer,
  Publication,
} from './prekey-frames.ts';
import type { ClientFrame } from './protocol.ts';

/** What a mailbox decides about prekeys. Nothing here rejects: what goes wrong is an answer. */
export interface PrekeyDecisions {
  /** Keeps prekeys of a peer for others. Resolves once they are on disk. */
  publish(owner: PeerId, publication: Publication): Promise<PrekeysPublishedAnswer | PrekeyRefusal>;
  /**
   * Hands out a prekey of a recipient (its peer id's bytes, not checked yet). Resolves once a one-time prekey is gone from
   * the disk, so that nobody else gets it.
   */
  take(taker: PeerId, recipient: Uint8Array): Promise<PrekeyTakenAnswer | PrekeyRefusal>;
  /** What is held for a peer. */
  count(owner: PeerId): Promise<PrekeysCountedAnswer | PrekeyRefusal>;
}

/** Whether a frame belongs on a prekey stream. */
export function isPrekeyRequest(frame: ClientFrame): frame is PrekeyRequest {
  return frame.type === 'publish-prekeys' || frame.type === 'take-prekey' || frame.type === 'count-prekeys';
}

function decide(decisions: PrekeyDecisions, peer: PeerId, request: PrekeyRequest): Promise<PrekeyAnswer> {
  switch (request.type) {
    case 'publish-prekeys':
      return decisions.publish(peer, request.publication);
    case 'take-prekey':
      return decisions.take(peer, request.recipient);
    case 'count-prekeys':
      return decisions.count(peer);
  }
}

/**
 * Serves a prekey stream until its client has no more to ask: one answer for each request, in the order of asking. What
 * arrives together is decided together, for one commit.
 *
 * @throws InvalidMessageError when a frame does not belong on a prekey stream
 */
export async function servePrekeys(
  stream: Stream,
  frames: AsyncIterable<ClientFrame[]>,
  { decisions, peer, signal }: { decisions: PrekeyDecisions; peer: PeerId; signal: AbortSignal },
): Promise<void> {
  await pipe(
    frames,
    async function* answered(batches: AsyncIterable<ClientFrame[]>) {
      for await (const batch of batches) {
        const requests = batch.map((frame) => {
          if (isPrekeyRequest(frame)) return frame;
          throw new InvalidMessageError(`a prekey stream carries requests about prekeys, not ${frame.type}`);
        });
        const answers = await Promise.all(requests.map((request) => decide(decisions, peer, request)));
        yield answers.map(encodePrekeyAnswer);
      }
    },
    frameSink(stream, { signal }),
  );
}
