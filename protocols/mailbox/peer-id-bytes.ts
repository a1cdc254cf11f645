import { peerIdFromMultihash } from '@libp2p/peer-id';
import type { PeerId } from '@libp2p/interface';

/** Multihash codes (https://github.com/multiformats/multicodec/blob/master/table.csv). */
const IDENTITY = 0x00;
const SHA2_256 = 0x12;

/**
 * Whether bytes are a peer id: the multihash of a public key, written out when the key is short (Ed25519, secp256k1), hashed
 * when it is long (RSA, ECDSA). Looks at the form only, since it runs once per deposit.
 */
export function isPeerIdBytes(bytes: Uint8Array): boolean {
  if (bytes.byteLength < 2 || bytes[1] !== bytes.byteLength - 2) return false;
  if (bytes[0] === SHA2_256) return bytes.byteLength === 34;
  // An encoded PublicKey: field 1 (type) Ed25519 or secp256k1, field 2 (data) of 32 or 33 bytes.
  return (
    bytes[0] === IDENTITY &&
    bytes[2] === 0x08 &&
    bytes[4] === 0x12 &&
    ((bytes[3] === 1 && bytes[5] === 32 && bytes.byteLength === 38) ||
      (bytes[3] === 2 && bytes[5] === 33 && bytes.byteLength === 39))
  );
}

/** The bytes that stand for a peer id on the wire and in the store. */
export function peerIdToBytes(peerId: PeerId): Uint8Array {
  return peerId.toMultihash().bytes;
}

/** The peer id that bytes stand for, undefined when they stand for none. */
export function peerIdFromBytes(bytes: Uint8Array): PeerId | undefined {
  if (!isPeerIdBytes(bytes)) return undefined;
  // A copy: the bytes are often a view on a network chunk, which would be kept alive with the peer id. (`slice` of a Buffer
  // is a view.)
  const copy = new Uint8Array(bytes);
  try {
    return peerIdFromMultihash({
      code: copy[0]!,
      size: copy.byteLength - 2,
      digest: copy.subarray(2),
      bytes: copy,
    });
  } catch {
    return undefined;
  }
}
