import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
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
  let envelope: RecordEnvelope;
  let record: PeerRecord;
  try {
    envelope = await RecordEnvelope.openAndCertify(bytes, PeerRecord.DOMAIN);
    record = PeerRecord.createFromProtobuf(envelope.payload);
  } catch (error) {
    throw new InvalidPeerRecordError('the peer record is malformed or its signature not genuine', {
      cause: error,
    });
  }
  const peerId = record.peerId.toString();
  if (envelope.publicKey.toString() !== peerId) {
    throw new InvalidPeerRecordError('the peer record speaks of another peer than its signer');
  }
  return { peerId, multiaddrs: record.multiaddrs.map(String), seq: record.seqNumber };
}
