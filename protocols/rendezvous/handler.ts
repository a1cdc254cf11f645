import type { Connection, PeerId, Stream } from '@libp2p/interface';
import { pipe } from 'it-pipe';
import { frameSink, readFrames } from '../framing/streams.ts';
import { admitDiscovery, admitRegistration, namespaceFits } from './admission.ts';
import type { AdmittedDiscovery, AdmittedRegistration } from './admission.ts';
import { RendezvousRefusedError } from './errors.ts';
import type { RendezvousRefusalCode } from './errors.ts';
import { RENDEZVOUS_LIMITS } from './limits.ts';
import { decodeRequest, encodeResponse } from './protocol.ts';
import type { EncodedRegistration } from './protocol.ts';

/**
 * What a rendezvous point decides. It is given only what keeps to the spec. It refuses by throwing
 * `RendezvousRefusedError`; any other error is answered as an internal one.
 */
export interface RendezvousDecisions {
  /** Whether a peer may ask again now; asked before anything is done for it, since checking a signature costs too. */
  allows: (peerId: PeerId) => boolean;
  /** Keeps a registration, in place of an earlier one of the same peer and namespace. */
  register: (
    registration: AdmittedRegistration,
    options: { signal: AbortSignal },
  ) => Promise<{ ttlSeconds: number }>;
  /** Drops a registration, if there is one. */
  unregister: (peerId: PeerId, namespace: string, options: { signal: AbortSignal }) => Promise<void>;
  /** The registrations behind the cookie, oldest first; the answer must fit `maxResponseBytes`. */
  discover: (
    discovery: AdmittedDiscovery,
    options: { signal: AbortSignal },
  ) => Promise<{ registrations: EncodedRegistration[]; cookie: Uint8Array }>;
}

export interface RendezvousHandlerOptions {
  /** Ends every stream. */
  signal: AbortSignal;
  /** Told of errors that were no refusals. */
  onError: (error: Error) => void;
  /** How long an unfinished frame may take, default 20 s. */
  frameTimeoutMs?: number;
}

/**
 * Serves `/rendezvous/1.0.0` streams until the other side closes them. A stream may carry any number of requests,
 * answered one after the other, in order. A malformed request aborts the stream.
 *
 * @example
 * ```ts
 * await libp2p.handle(RENDEZVOUS_PROTOCOL, rendezvousHandler(decisions, { signal, onError }))
 * ```
 */
export function rendezvousHandler(
  decisions: RendezvousDecisions,
  { signal, onError, frameTimeoutMs }: RendezvousHandlerOptions,
): (stream: Stream, connection: Pick<Connection, 'remotePeer'>) => Promise<void> {
  const options = { signal };

  const refusal = (error: unknown): { refusal: RendezvousRefusalCode; reason: string } => {
    if (error instanceof RendezvousRefusedError) return { refusal: error.code, reason: error.message };
    onError(error as Error);
    return { refusal: 'internal-error', reason: 'the rendezvous point failed; try again later' };
  };

  const checkRate = (remotePeer: PeerId): void => {
    if (decisions.allows(remotePeer)) return;
    throw new RendezvousRefusedError(
      'too many requests from this peer; try again in a minute',
      'unavailable',
    );
  };

  const answer = async (frame: Uint8Array, remotePeer: PeerId): Promise<Uint8Array | undefined> => {
    const request = decodeRequest(frame);
    switch (request.type) {
      case 'register': {
        const type = 'register-response';
        try {
          checkRate(remotePeer);
          const registration = await admitRegistration(request, remotePeer, options);
          return encodeResponse({ type, ...(await decisions.register(registration, options)) });
        } catch (error) {
          signal.throwIfAborted();
          return encodeResponse({ type, ...refusal(error) });
        }
      }
      case 'unregister':
        // It has no answer in the spec, so a failure can be told only to our own log.
        if (namespaceFits(request.namespace)) {
          await decisions.unregister(remotePeer, request.namespace, options).catch(refusal);
        }
        return undefined;
      case 'discover': {
        const type = 'discover-response';
        try {
          checkRate(remotePeer);
          return encodeResponse({
            type,
            ...(await decisions.discover(admitDiscovery(request), options)),
          });
        } catch (error) {
          signal.throwIfAborted();
          return encodeResponse({ type, ...refusal(error) });
        }
      }
    }
  };

  return async (stream, { remotePeer }) => {
    try {
      await pipe(
        readFrames(stream, {
          signal,
          maxFrameBytes: RENDEZVOUS_LIMITS.maxRequestBytes,
          ...(frameTimeoutMs !== undefined && { frameTimeoutMs }),
        }),
        async function* answers(batches: AsyncIterable<Uint8Array[]>) {
          // One at a time: an unregister or register has to be seen by the discover behind it, and a discover's
          // answer of up to 1 MiB has to be gone before the next is made.
          for await (const batch of batches) {
            for (const frame of batch) {
              const response = await answer(frame, remotePeer);
              if (response !== undefined) yield [response];
            }
          }
        },
        frameSink(stream, options),
      );
      await stream.close(options);
    } catch (error) {
      stream.abort(error as Error);
    }
  };
}
