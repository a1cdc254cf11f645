import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomFillSync,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** The key under which a data directory's content is sealed. */
export const DATA_KEY_BYTES = 32;

const CIPHER = 'chacha20-poly1305';

/**
 * RFC 8439, section 2.8. Nonces are random: one that counts would come twice when a backup is restored. 2^32 values may
 * be sealed in a column before two nonces are the same with a probability of 2^-32.
 */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER_OPTIONS = { authTagLength: TAG_BYTES };

/** What sealing adds to a value. */
export const SEAL_BYTES = NONCE_BYTES + TAG_BYTES;

/**
 * A keyed hash is cut to 128 bits: two different texts with the same one are met after 2^64 of them, and whoever has no key
 * can't look for any.
 */
export const INDEX_BYTES = 16;

/** Begins the purpose of every derived key; another way of sealing gets another. */
const PURPOSE = 'tincan/at-rest/1/';

/** Random bytes are drawn from the kernel a page at a time: one call for 341 nonces. */
const POOL_BYTES = 4096 - (4096 % NONCE_BYTES);

/** What names a row is a few numbers and ids: far below this. */
const MAX_ROW_KEY_BYTES = 512;

/** A sealed value is not what was sealed for this row: damaged, from another row or column, or under another key. */
export class SealedValueError extends Error {
  override name = 'SealedValueError';
}

/** What names a row, in an order that the column has chosen once and for all. */
export type RowKey = readonly (number | Uint8Array)[];

/** Seals the values of one column. */
export interface ColumnSealer {
  /** `SEAL_BYTES` longer than the value, and different each time. */
  seal(value: Uint8Array, ...row: RowKey): Uint8Array;
  /** @throws SealedValueError unless it was sealed for this row of this column, with the same data key */
  open(sealed: Uint8Array, ...row: RowKey): Uint8Array;
}

/** What a data key is used for. */
export interface RowSealer {
  /** @param name table and column, which have a key of their own */
  column(name: string): ColumnSealer;
  /** A keyed hash of `INDEX_BYTES`, by which a sealed text is found again and kept unique. */
  index(name: string): (text: string) => Buffer;
  /** A copy of the key itself, for a backup. To be overwritten when it is done with. */
  dataKey(): Buffer;
}

/**
 * Seals what a store says of people and their words, value by value: ChaCha20-Poly1305 (RFC 8439) under a key of the
 * column, derived with HKDF-SHA-256 (RFC 5869), with the row as associated data, so that no value can be put in the
 * place of another. A sealed value is nonce, ciphertext, tag.
 *
 * @param dataKey `DATA_KEY_BYTES` bytes; not needed any more when this returns
 */
export function rowSealer(dataKey: Uint8Array): RowSealer {
  if (dataKey.byteLength !== DATA_KEY_BYTES) throw new RangeError(`a data key has ${DATA_KEY_BYTES} bytes`);
  const root = createSecretKey(dataKey);
  const keyFor = (purpose: string): KeyObject => {
    const bytes = new Uint8Array(hkdfSync('sha256', root, '', PURPOSE + purpose, DATA_KEY_BYTES));
    const key = createSecretKey(bytes);
    bytes.fill(0);
    return key;
  };
  return {
    column(name) {
      const key = keyFor(`seal/${name}`);
      return {
        seal(value, ...row) {
          const nonce = nextNonce();
          const cipher = createCipheriv(CIPHER, key, nonce, CIPHER_OPTIONS);
          cipher.setAAD(encodeRowKey(row));
          const sealed = Buffer.allocUnsafe(value.byteLength + SEAL_BYTES);
          sealed.set(nonce);
          sealed.set(cipher.update(value), NONCE_BYTES);
          cipher.final();
          sealed.set(cipher.getAuthTag(), NONCE_BYTES + value.byteLength);
          return sealed;
        },
        open(sealed, ...row) {
          const end = sealed.byteLength - TAG_BYTES;
          if (end < NONCE_BYTES) throw new SealedValueError(`a sealed value of ${name} is too short`);
          const nonce = sealed.subarray(0, NONCE_BYTES);
          const decipher = createDecipheriv(CIPHER, key, nonce, CIPHER_OPTIONS);
          decipher.setAuthTag(sealed.subarray(end));
          decipher.setAAD(encodeRowKey(row));
          const value = decipher.update(sealed.subarray(NONCE_BYTES, end));
          try {
            decipher.final();
          } catch {
            value.fill(0);
            throw new SealedValueError(`a sealed value of ${name} is not what was written there`);
          }
          // No Buffer: what comes out of the store is what goes in, and what SQLite hands over.
          return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
        },
      };
    },

    index(name) {
      const key = keyFor(`index/${name}`);
      return (text) => createHmac('sha256', key).update(text).digest().subarray(0, INDEX_BYTES);
    },

    dataKey: () => root.export(),
  };
}

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** Valid until the next one is asked for often enough to fill the pool anew: to be used at once. */
function nextNonce(): Uint8Array {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  used += NONCE_BYTES;
  return pool.subarray(used - NONCE_BYTES, used);
}

const scratch = Buffer.alloc(MAX_ROW_KEY_BYTES);

/** Numbers as IEEE 754 doubles, bytes after their length, a mark before each: no two keys are the same bytes. */
function encodeRowKey(row: RowKey): Uint8Array {
  let at = 0;
  for (const part of row) {
    if (typeof part === 'number') {
      at = scratch.writeUInt8(0, at);
      at = scratch.writeDoubleBE(part, at);
    } else {
      at = scratch.writeUInt8(1, at);
      at = scratch.writeUInt16BE(part.byteLength, at);
      if (at + part.byteLength > MAX_ROW_KEY_BYTES) throw new RangeError('what names a row is too long');
      scratch.set(part, at);
      at += part.byteLength;
    }
  }
  return scratch.subarray(0, at);
}
