import { InvalidMessageError, InvalidParametersError } from '@libp2p/interface';
import type { PeerId, Stream } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { request } from '../framing/request-response.ts';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { RendezvousRefusedError } from './errors.ts';
import { RENDEZVOUS_LIMITS } from './limits.ts';
import { decodeResponse, encodeRequest } from './protocol.ts';
import type { EncodedRegistration, RendezvousRequest, RendezvousResponse } from './protocol.ts';
import { openSignedPeerRecord } from '../transport/signed-peer-record.ts';

/** A peer found at a rendezvous point. Its signed record has been verified. */
export interface DiscoveredPeer {
  namespace: string;
  peerId: PeerId;
  multiaddrs: Multiaddr[];
  signedPeerRecord: Uint8Array;
  ttlSeconds: number;
}

export interface DiscoveredPage {
  peers: DiscoveredPeer[];
  /** For the next `discover` of the same namespace: it returns only what was not in this page. */
  cookie: Uint8Array;
  /** Registrations left out because their signed record did not verify. */
  invalid: number;
}

export interface RendezvousClient {
  /**
   * Registers this peer in a namespace, or refreshes its registration.
   *
   * @param ttlSeconds between 2 and 72 hours; 2 hours when undefined
   * @returns how long the registration will last; register again before that
   * @throws RendezvousRefusedError, InvalidMessageError, or the network's error
   */
  register: (
    namespace: string,
    signedPeerRecord: Uint8Array,
    ttlSeconds: number | undefined,
    options: { signal: AbortSignal },
  ) => Promise<{ ttlSeconds: number }>;
  /** Takes a registration back. The spec has no answer to this; resolves when the point has closed the stream. */
  unregister: (namespace: string, options: { signal: AbortSignal }) => Promise<void>;
  /**
   * Asks who has registered.
   *
   * @param namespace all of them when undefined
   * @throws RendezvousRefusedError, InvalidMessageError, or the network's error
   */
  discover: (
    namespace: string | undefined,
    options: { limit?: number; cookie?: Uint8Array; signal: AbortSignal },
  ) => Promise<DiscoveredPage>;
}

/** A client of one rendezvous point, any implementation's. Every request takes a stream of its own. */
export function rendezvousClient({
  openStream,
}: {
  openStream: (options: { signal: AbortSignal }) => Promise<Stream>;
}): RendezvousClient {
  const ask = async <Type extends RendezvousResponse['type']>(
    message: RendezvousRequest,
    type: Type,
    signal: AbortSignal,
  ): Promise<Exclude<Extract<RendezvousResponse, { type: Type }>, { refusal: string }>> => {
    const frame = encodeRequest(message);
    const stream = await openStream({ signal });
    const answer = await request(stream, frame, {
      signal,
      maxFrameBytes: RENDEZVOUS_LIMITS.maxResponseBytes,
    });
    const response = decodeResponse(answer);
    if (response.type !== type) throw new InvalidMessageError(`expected ${type}, got ${response.type}`);
    if ('refusal' in response) {
      throw new RendezvousRefusedError(response.reason || response.refusal, response.refusal);
    }
    return response as Exclude<Extract<RendezvousResponse, { type: Type }>, { refusal: string }>;
  };

  const verify = async (
    { namespace, signedPeerRecord, ttlSeconds }: EncodedRegistration,
    options: { signal: AbortSignal },
  ): Promise<DiscoveredPeer | undefined> => {
    try {
      const { peerId, multiaddrs } = await openSignedPeerRecord(signedPeerRecord, options);
      return { namespace, peerId, multiaddrs, signedPeerRecord, ttlSeconds };
    } catch (error) {
      // One bad record must not hide the good ones beside it.
      if (error instanceof InvalidMessageError) return undefined;
      throw error;
    }
  };

  return {
    async register(namespace, signedPeerRecord, ttlSeconds, { signal }) {
      const response = await ask(
        { type: 'register', namespace, signedPeerRecord, ...(ttlSeconds !== undefined && { ttlSeconds }) },
        'register-response',
        signal,
      );
      return { ttlSeconds: response.ttlSeconds };
    },

    async unregister(namespace, { signal }) {
      const stream = await openStream({ signal });
      try {
        await sendFrames(stream, [encodeRequest({ type: 'unregister', namespace })], { signal });
        await stream.close({ signal });
        for await (const frames of readFrames(stream, {
          signal,
          maxFrameBytes: RENDEZVOUS_LIMITS.maxResponseBytes,
        })) {
          throw new InvalidMessageError(`unregister was answered with ${frames.length} frames`);
        }
      } catch (error) {
        // Some implementations drop the stream instead of closing it.
        if ((error as Error).name === 'StreamResetError') return;
        stream.abort(error as Error);
        throw error;
      }
    },

    async discover(namespace, { limit, cookie, signal }) {
      if (cookie !== undefined && cookie.byteLength > RENDEZVOUS_LIMITS.maxCookieBytes) {
        throw new InvalidParametersError('the cookie is too long to hand back; discover again without it');
      }
      const { registrations, cookie: next } = await ask(
        {
          type: 'discover',
          ...(namespace !== undefined && { namespace }),
          ...(limit !== undefined && { limit }),
          ...(cookie !== undefined && { cookie }),
        },
        'discover-response',
        signal,
      );
      const verified = await Promise.all(registrations.map((entry) => verify(entry, { signal })));
      const peers = verified.filter((peer) => peer !== undefined);
      return { peers, cookie: next, invalid: verified.length - peers.length };
    },
  };
}
