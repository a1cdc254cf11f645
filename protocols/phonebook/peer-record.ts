import { openSignedPeerRecord } from '../transport/signed-peer-record.ts';
import { MAX_PEER_RECORD_BYTES } from './protocol.ts';

/** The addresses a peer signed for itself. */
export interface OpenedPeerRecord {
  /** In base58. */
  peerId: string;
  multiaddrs: string[];
  /** libp2p's own: the time it was made, as a rule. */
  seq: bigint;
}

/** A signed peer record that proves nothing: damaged, forged, too large, or one peer's about another. */
export class InvalidPeerRecordError extends Error {
  override name = 'InvalidPeerRecordError';
}

/**
 * Opens a libp2p signed peer record (libp2p RFC 0002 and 0003).
 *
 * @throws InvalidPeerRecordError
 */
export async function openPeerRecord(bytes: Uint8Array): Promise<OpenedPeerRecord> {
  if (bytes.byteLength > MAX_PEER_RECORD_BYTES) {
    throw new InvalidPeerRecordError(`the peer record is over ${MAX_PEER_RECORD_BYTES} bytes`);
  }
  try {
    const { peerId, multiaddrs, seq } = await openSignedPeerRecord(bytes);
    return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), seq };
  } catch (error) {
    throw new InvalidPeerRecordError((error as Error).message, { cause: error });
  }
}
