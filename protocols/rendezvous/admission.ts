import type { PeerId } from '@libp2p/interface';
import { RendezvousRefusedError } from './errors.ts';
import { RENDEZVOUS_LIMITS } from './limits.ts';
import type { DiscoverRequest, RegisterRequest } from './protocol.ts';
import { openSignedPeerRecord } from '../transport/signed-peer-record.ts';

const { maxNamespaceBytes, maxSignedPeerRecordBytes, minTtlSeconds, maxTtlSeconds, defaultTtlSeconds } =
  RENDEZVOUS_LIMITS;

/** A registration that keeps to the spec: its record is signed by the peer that registers, and is about it. */
export interface AdmittedRegistration {
  peerId: PeerId;
  namespace: string;
  signedPeerRecord: Uint8Array;
  ttlSeconds: number;
}

export function namespaceFits(namespace: string): boolean {
  return namespace !== '' && Buffer.byteLength(namespace) <= maxNamespaceBytes;
}

function checkNamespace(namespace: string): void {
  if (namespaceFits(namespace)) return;
  throw new RendezvousRefusedError(
    `ns must have 1 to ${maxNamespaceBytes} bytes of UTF-8`,
    'invalid-namespace',
  );
}

/**
 * Checks a registration against the spec and the connection it came over.
 *
 * @throws RendezvousRefusedError
 */
export async function admitRegistration(
  { namespace, signedPeerRecord, ttlSeconds = defaultTtlSeconds }: RegisterRequest,
  remotePeer: PeerId,
  options: { signal: AbortSignal },
): Promise<AdmittedRegistration> {
  checkNamespace(namespace);
  if (!(ttlSeconds >= minTtlSeconds && ttlSeconds <= maxTtlSeconds)) {
    throw new RendezvousRefusedError(
      `ttl must be between ${minTtlSeconds} and ${maxTtlSeconds} seconds`,
      'invalid-ttl',
    );
  }
  const size = signedPeerRecord.byteLength;
  if (size === 0 || size > maxSignedPeerRecordBytes) {
    throw new RendezvousRefusedError(
      `signedPeerRecord must have 1 to ${maxSignedPeerRecordBytes} bytes`,
      'invalid-signed-peer-record',
    );
  }
  const opened = await openSignedPeerRecord(signedPeerRecord, options).catch((error: Error) => {
    options.signal.throwIfAborted();
    throw new RendezvousRefusedError(error.message, 'invalid-signed-peer-record');
  });
  if (!opened.peerId.equals(remotePeer)) {
    throw new RendezvousRefusedError('a peer may register only itself', 'not-authorized');
  }
  return { peerId: remotePeer, namespace, signedPeerRecord, ttlSeconds };
}

/** A discovery within the limits. */
export interface AdmittedDiscovery {
  namespace: string | undefined;
  limit: number;
  cookie: Uint8Array | undefined;
}

/**
 * Checks a discovery; a limit over the maximum becomes the maximum.
 *
 * @throws RendezvousRefusedError
 */
export function admitDiscovery({ namespace, limit, cookie }: DiscoverRequest): AdmittedDiscovery {
  if (namespace !== undefined) checkNamespace(namespace);
  const { maxDiscoverLimit } = RENDEZVOUS_LIMITS;
  return { namespace, limit: Math.min(limit ?? maxDiscoverLimit, maxDiscoverLimit), cookie };
}
