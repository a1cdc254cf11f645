import { DATA_KEY_BYTES } from '../at-rest/row-sealer.ts';
import { damaged } from './sealed-stream.ts';

/** What a backup has of a data directory, besides the store. */
export interface BackupParts {
  /** When it was made, milliseconds since 1970. */
  madeMs: number;
  /** Whose it is. */
  peerId: string;
  /** What the identity and the values of the store are sealed with. To be overwritten when it is done with. */
  dataKey: Uint8Array;
  /** `identity.key` as it lies in the data directory, sealed. */
  identity: Uint8Array;
  /** `config.toml`, where there is one. */
  settings: Uint8Array | null;
}

/** `config.toml` in bytes: far more than all settings take. */
export const MAX_SETTINGS_BYTES = 1024 * 1024;

/** A sealed identity is below 200 bytes. */
const MAX_IDENTITY_BYTES = 4096;

/** As a peer id is written. */
const MAX_PEER_ID_BYTES = 128;

const TIME_BYTES = 8;

/** The parts in the order in which they come, and how large each may be. The settings may be left out. */
const PARTS = [
  { kind: 1, name: 'time', min: TIME_BYTES, max: TIME_BYTES },
  { kind: 2, name: 'peer id', min: 1, max: MAX_PEER_ID_BYTES },
  { kind: 3, name: 'data key', min: DATA_KEY_BYTES, max: DATA_KEY_BYTES },
  { kind: 4, name: 'identity', min: 1, max: MAX_IDENTITY_BYTES },
  { kind: 5, name: 'settings', min: 0, max: MAX_SETTINGS_BYTES },
  { kind: 6, name: 'store', min: 1, max: Number.MAX_SAFE_INTEGER },
] as const;

const SETTINGS = 5;
const STORE = 6;
const END = 0;
const LENGTH_BYTES = 8;

const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]+$/;

/**
 * Lays out what a backup holds. Each part is its kind (1 byte), its length (8 bytes, big-endian) and its bytes: time of making (1), peer
 * id (2), data key (3), sealed identity (4), settings if any (5), store (6), in this order, and a 0 at the end.
 *
 * @param store the database file, in pieces that are `storeBytes` together
 */
export function* writeArchive(
  parts: BackupParts,
  storeBytes: number,
  store: Iterable<Uint8Array>,
): Generator<Uint8Array, void> {
  const time = Buffer.alloc(TIME_BYTES);
  time.writeBigUInt64BE(BigInt(Math.max(0, Math.trunc(parts.madeMs))));
  const small = [time, Buffer.from(parts.peerId), parts.dataKey, parts.identity, parts.settings];
  for (const [index, bytes] of small.entries()) {
    if (bytes === null) continue;
    yield headOf(index + 1, bytes.byteLength);
    yield bytes;
  }
  yield headOf(STORE, storeBytes);
  let written = 0;
  for (const piece of store) {
    written += piece.byteLength;
    yield piece;
  }
  if (written !== storeBytes) throw new Error('the copy of the store has another size than it had');
  yield Buffer.of(END);
}

function headOf(kind: number, length: number): Buffer {
  const head = Buffer.alloc(1 + LENGTH_BYTES);
  head[0] = kind;
  head.writeBigUInt64BE(BigInt(length), 1);
  return head;
}

/**
 * Reads what `writeArchive` wrote.
 *
 * @param content pieces that are valid only until the next one is asked for
 * @param onStore given the store piece by piece, before it is known whether the rest is whole
 * @throws BackupError `damaged`
 */
export function readArchive(
  content: Iterable<Uint8Array>,
  onStore: (piece: Uint8Array) => void,
): BackupParts {
  const pieces = pieceReader(content);
  const found = new Map<number, Buffer>();
  for (const { kind, min, max } of PARTS) {
    if (kind === SETTINGS && pieces.peek() !== SETTINGS) continue;
    const head = pieces.take(1 + LENGTH_BYTES);
    const length = head.readBigUInt64BE(1);
    if (head[0] !== kind || length < min || length > max) throw damaged();
    if (kind === STORE) pieces.each(Number(length), onStore);
    else found.set(kind, pieces.take(Number(length)));
  }
  if (pieces.take(1)[0] !== END) throw damaged();
  pieces.end();
  const [time, peerId, dataKey, identity] = [1, 2, 3, 4].map((kind) => found.get(kind)!) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  const madeMs = time.readBigUInt64BE();
  if (madeMs > Number.MAX_SAFE_INTEGER || !PEER_ID.test(peerId.toString('latin1'))) throw damaged();
  return {
    madeMs: Number(madeMs),
    peerId: peerId.toString('latin1'),
    dataKey,
    identity,
    settings: found.get(SETTINGS) ?? null,
  };
}

interface PieceReader {
  /** The next byte, which is read again. */
  peek(): number;
  /** A copy of so many bytes. */
  take(bytes: number): Buffer;
  /** Hands on so many bytes without gathering them. */
  each(bytes: number, hand: (piece: Uint8Array) => void): void;
  /** There must be nothing left. */
  end(): void;
}

function pieceReader(content: Iterable<Uint8Array>): PieceReader {
  const iterator = content[Symbol.iterator]();
  let piece: Uint8Array = new Uint8Array(0);
  /** What has not been read of the piece; empty at the end alone. */
  const rest = (): Uint8Array => {
    while (piece.byteLength === 0) {
      const next = iterator.next();
      if (next.done === true) break;
      piece = next.value;
    }
    return piece;
  };
  const each = (bytes: number, hand: (piece: Uint8Array) => void): void => {
    for (let left = bytes; left > 0;) {
      const part = rest().subarray(0, left);
      if (part.byteLength === 0) throw damaged();
      hand(part);
      piece = piece.subarray(part.byteLength);
      left -= part.byteLength;
    }
  };
  return {
    each,
    peek: () => rest()[0] ?? END,
    take(bytes) {
      const taken = Buffer.alloc(bytes);
      let at = 0;
      each(bytes, (part) => {
        taken.set(part, at);
        at += part.byteLength;
      });
      return taken;
    },
    end() {
      if (rest().byteLength > 0) throw damaged();
    },
  };
}
