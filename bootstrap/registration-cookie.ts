/** Where a discovery left off: after this position, in this namespace, at this rendezvous point's registrations. */
export interface DiscoveryPosition {
  /** Marks one life of the registration table: a cookie of another point, or from before a wiped disk, is told apart. */
  epoch: Uint8Array;
  position: number;
  /** Undefined for all namespaces. */
  namespace: string | undefined;
}

export const EPOCH_BYTES = 8;
const HEAD_BYTES = EPOCH_BYTES + 8;

/**
 * A cookie: 8 bytes of epoch, the position as a big-endian uint64, the namespace in UTF-8 (none for all). Opaque to
 * clients by the spec, but rust-libp2p's client parses it as 16 bytes and a namespace.
 */
export function encodeCookie({ epoch, position, namespace = '' }: DiscoveryPosition): Uint8Array {
  const tail = Buffer.from(namespace);
  const cookie = Buffer.alloc(HEAD_BYTES + tail.byteLength);
  cookie.set(epoch);
  cookie.writeBigUInt64BE(BigInt(position), EPOCH_BYTES);
  cookie.set(tail, HEAD_BYTES);
  return cookie;
}

/** Undefined for what can't be a cookie of ours. */
export function decodeCookie(bytes: Uint8Array): DiscoveryPosition | undefined {
  if (bytes.byteLength < HEAD_BYTES) return undefined;
  const cookie = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const position = Number(cookie.readBigUInt64BE(EPOCH_BYTES));
  if (!Number.isSafeInteger(position)) return undefined;
  const namespace = cookie.toString('utf8', HEAD_BYTES);
  return {
    epoch: bytes.subarray(0, EPOCH_BYTES),
    position,
    namespace: namespace === '' ? undefined : namespace,
  };
}
