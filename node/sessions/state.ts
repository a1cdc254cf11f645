/** What one of this folder's states is encoded as: a version, a kind, and fields in a fixed order. */
const VERSION = 1;

const KINDS = { outgoing: 1, incoming: 2, prekey: 3 } as const;

type StateKind = keyof typeof KINDS;

/** Bytes that should be a state of ours and are not: the store is damaged, or of a newer version. */
export class SessionStateError extends Error {
  override name = 'SessionStateError';
}

/** Reads fields one after the other; each throws SessionStateError. What it returns are copies. */
export interface StateReader {
  uint8(): number;
  uint16(): number;
  /** Milliseconds since 1970. */
  time(): number;
  bytes(length: number): Uint8Array;
  /** Bytes of a secret, which are not all zero. */
  secret(length: number): Uint8Array;
  /** There must be nothing left. */
  end(): void;
}

export function encodeState(kind: StateKind, fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(VERSION, KINDS[kind]), ...fields]);
}

export function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

export function time(ms: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(Math.max(0, Math.trunc(ms))));
  return bytes;
}

/** @throws SessionStateError when the bytes are no state of this kind */
export function stateReader(kind: StateKind, bytes: Uint8Array): StateReader {
  const copy = Buffer.from(bytes);
  if (copy[0] !== VERSION) throw new SessionStateError('of a version not known here');
  if (copy[1] !== KINDS[kind]) throw new SessionStateError(`no state of the kind "${kind}"`);
  let at = 2;
  const take = (length: number): Buffer => {
    if (at + length > copy.byteLength) throw new SessionStateError('cut off');
    at += length;
    return copy.subarray(at - length, at);
  };
  return {
    uint8: () => take(1)[0]!,
    uint16: () => take(2).readUInt16BE(),
    time() {
      const ms = take(8).readBigUInt64BE();
      if (ms > Number.MAX_SAFE_INTEGER) throw new SessionStateError('no time');
      return Number(ms);
    },
    bytes: (length) => Uint8Array.from(take(length)),
    secret(length) {
      const secret = Uint8Array.from(take(length));
      if (isAllZero(secret)) throw new SessionStateError('a secret that is all zero');
      return secret;
    },
    end() {
      if (at !== copy.byteLength) throw new SessionStateError('longer than it should be');
      copy.fill(0);
    },
  };
}

/** What randomness never is, and what an overwritten key is. */
export function isAllZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
