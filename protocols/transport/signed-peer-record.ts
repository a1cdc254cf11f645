import { InvalidMessageError } from '@libp2p/interface';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPublicKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import type { Multiaddr } from '@multiformats/multiaddr';
import './multiaddr-limits.ts';

/** What a peer has said and signed about where it can be reached. */
export interface OpenedPeerRecord {
  peerId: PeerId;
  multiaddrs: Multiaddr[];
  /** Grows with each record of a peer. */
  seq: bigint;
}

/**
 * Opens a signed peer record (libp2p RFC 0002 and 0003): the envelope's signature holds, its payload is a peer record,
 * and it is about the peer that signed it.
 *
 * @throws InvalidMessageError saying which of these does not hold
 */
export async function openSignedPeerRecord(
  bytes: Uint8Array,
  options?: { signal: AbortSignal },
): Promise<OpenedPeerRecord> {
  let envelope: RecordEnvelope;
  let record: PeerRecord;
  try {
    envelope = await RecordEnvelope.openAndCertify(bytes, PeerRecord.DOMAIN, options);
    if (Buffer.compare(envelope.payloadType.subarray(), PeerRecord.CODEC) !== 0) {
      throw new InvalidMessageError('the envelope holds something else');
    }
    record = PeerRecord.createFromProtobuf(envelope.payload);
  } catch (error) {
    options?.signal.throwIfAborted();
    throw new InvalidMessageError(`not a signed peer record: ${(error as Error).message}`);
  }
  if (!record.peerId.equals(peerIdFromPublicKey(envelope.publicKey))) {
    throw new InvalidMessageError('the peer record is about another peer than the one that signed it');
  }
  return { peerId: record.peerId, multiaddrs: record.multiaddrs, seq: record.seqNumber };
}
