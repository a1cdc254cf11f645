import { argon2Sync, createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { DATA_KEY_BYTES } from './row-sealer.ts';

/** How much work a guess at the passphrase is (RFC 9106, section 3.1). */
export interface Argon2Cost {
  memoryKiB: number;
  passes: number;
  lanes: number;
}

/**
 * The second recommended choice of RFC 9106, section 4, above what OWASP asks for: 64 MiB that a small machine still has
 * at a start, and a fraction of a second.
 */
export const ARGON2_COST: Argon2Cost = { memoryKiB: 64 * 1024, passes: 3, lanes: 4 };

/**
 * What a file may ask of us: one that was tampered with must take neither all memory nor minutes of somebody who waits at a
 * prompt. 256 MiB are there where a daemon runs at all. Memory times passes is the work: 1 GiB of it, five times what we ask
 * for, takes some seconds of a slow machine, and leaves a later version room to ask for more. Each lane is a thread, four times
 * a pass.
 */
const MAX_COST: Argon2Cost & { workKiB: number } = {
  memoryKiB: 256 * 1024,
  passes: 64,
  lanes: 16,
  workKiB: 1024 * 1024,
};

/** What a new passphrase has at the least (NIST SP 800-63B, section 3.1.1.2), in characters. */
export const MIN_PASSPHRASE_CHARACTERS = 8;

/** More is a file given by mistake. */
export const MAX_PASSPHRASE_BYTES = 1024;

const MAGIC = Buffer.from('tincan data key\n');
const VERSION = 1;
const BARE = 0;
const WRAPPED = 1;

const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Tells a file that is damaged from a passphrase that is wrong. */
const CHECKSUM_BYTES = 8;

const KIND_AT = MAGIC.byteLength + 1;
const HEADER_BYTES = KIND_AT + 1;
const COST_BYTES = 9;
const SALT_AT = HEADER_BYTES + COST_BYTES;
const NONCE_AT = SALT_AT + SALT_BYTES;
const SEALED_AT = NONCE_AT + NONCE_BYTES;
const BARE_FILE_BYTES = HEADER_BYTES + DATA_KEY_BYTES + CHECKSUM_BYTES;
const WRAPPED_FILE_BYTES = SEALED_AT + DATA_KEY_BYTES + TAG_BYTES + CHECKSUM_BYTES;

/** A key file is never longer. */
export const MAX_KEY_FILE_BYTES = WRAPPED_FILE_BYTES;

export type DataKeyErrorCode =
  | 'wrong-passphrase'
  | 'passphrase-needed'
  | 'passphrase-unusable'
  | 'damaged'
  | 'newer-version'
  | 'exposed'
  | 'missing'
  | 'foreign';

/**
 * The data key can't be had. Nothing has been changed.
 *
 * - `wrong-passphrase`: it opens nothing
 * - `passphrase-needed`: the key is wrapped, and no passphrase was given; or it is bare, and one was
 * - `passphrase-unusable`: too short or too long to be a new one
 * - `damaged`: the key file is not one, or not whole
 * - `newer-version`: written by a newer Tincan
 * - `exposed`: others may read the key file
 * - `missing`: there is none, and something is sealed with it
 * - `foreign`: it is a key, and not the one that the store is sealed with
 */
export class DataKeyError extends Error {
  override name = 'DataKeyError';
  readonly code: DataKeyErrorCode;

  constructor(message: string, code: DataKeyErrorCode) {
    super(message);
    this.code = code;
  }
}

/** Whether a passphrase is asked for: `bare` keys lie open in a file that only its owner may read. */
export type KeyKind = 'bare' | 'wrapped';

/**
 * Reads whether a key file's key is wrapped.
 *
 * @throws DataKeyError `damaged`, `newer-version`
 */
export function kindOf(file: Uint8Array): KeyKind {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.byteLength < HEADER_BYTES || !bytes.subarray(0, MAGIC.byteLength).equals(MAGIC)) throw damaged();
  const version = bytes[MAGIC.byteLength]!;
  if (version > VERSION)
    throw new DataKeyError(
      `the data key has format ${version}, this Tincan knows ${VERSION}`,
      'newer-version',
    );
  const kind = bytes[KIND_AT]!;
  const length = kind === BARE ? BARE_FILE_BYTES : WRAPPED_FILE_BYTES;
  if (version !== VERSION || kind > WRAPPED || bytes.byteLength !== length) throw damaged();
  const end = length - CHECKSUM_BYTES;
  if (!checksum(bytes.subarray(0, end)).equals(bytes.subarray(end))) throw damaged();
  return kind === BARE ? 'bare' : 'wrapped';
}

/**
 * Encodes a data key for its file: 32 bytes of it bare, or sealed with ChaCha20-Poly1305 under what Argon2id (RFC 9106)
 * makes of the passphrase.
 *
 * Layout: "tincan data key\n", version (1 byte), kind (0 bare, 1 wrapped); bare: the key. Wrapped: memory in KiB, passes
 * (4 bytes each, big-endian), lanes (1), salt (16), nonce (12), sealed key (32 and a tag of 16), all before it
 * being associated data. In both, the first 8 bytes of the SHA-256 of everything before them.
 *
 * @param passphrase null for a bare key
 * @throws DataKeyError `passphrase-unusable`
 */
export function encodeDataKey(
  dataKey: Uint8Array,
  passphrase: string | null,
  cost: Argon2Cost = ARGON2_COST,
): Buffer {
  const header = Buffer.concat([MAGIC, Buffer.of(VERSION, passphrase === null ? BARE : WRAPPED)]);
  if (passphrase === null) return withChecksum(header, dataKey);
  const given = passphraseBytes(passphrase);
  if (Array.from(passphrase).length < MIN_PASSPHRASE_CHARACTERS || given.byteLength > MAX_PASSPHRASE_BYTES)
    throw new DataKeyError(
      `a passphrase has ${MIN_PASSPHRASE_CHARACTERS} characters at the least and ${MAX_PASSPHRASE_BYTES} bytes at the most`,
      'passphrase-unusable',
    );
  const costs = Buffer.alloc(COST_BYTES);
  costs.writeUInt32BE(cost.memoryKiB, 0);
  costs.writeUInt32BE(cost.passes, 4);
  costs.writeUInt8(cost.lanes, 8);
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const open = Buffer.concat([header, costs, salt, nonce]);
  const wrapping = stretch(given, salt, cost);
  const cipher = createCipheriv('chacha20-poly1305', wrapping, nonce, { authTagLength: TAG_BYTES });
  wrapping.fill(0);
  cipher.setAAD(open, { plaintextLength: DATA_KEY_BYTES });
  const sealed = cipher.update(dataKey);
  cipher.final();
  return withChecksum(open, sealed, cipher.getAuthTag());
}

/**
 * The data key in a key file.
 *
 * @param passphrase null when none was given
 * @returns to be overwritten when it is done with
 * @throws DataKeyError
 */
export function decodeDataKey(file: Uint8Array, passphrase: string | null): Buffer {
  const kind = kindOf(file);
  if (kind === 'bare') {
    if (passphrase !== null)
      throw new DataKeyError(
        'there is no passphrase here; set one with: tincan passphrase change',
        'passphrase-needed',
      );
    return Buffer.from(file.subarray(HEADER_BYTES, HEADER_BYTES + DATA_KEY_BYTES));
  }
  if (passphrase === null) throw new DataKeyError('a passphrase is needed', 'passphrase-needed');
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const cost = {
    memoryKiB: bytes.readUInt32BE(HEADER_BYTES),
    passes: bytes.readUInt32BE(HEADER_BYTES + 4),
    lanes: bytes.readUInt8(HEADER_BYTES + 8),
  };
  if (!isBearable(cost)) throw damaged();
  const given = passphraseBytes(passphrase);
  if (given.byteLength > MAX_PASSPHRASE_BYTES) throw wrong();
  const wrapping = stretch(given, bytes.subarray(SALT_AT, NONCE_AT), cost);
  const decipher = createDecipheriv('chacha20-poly1305', wrapping, bytes.subarray(NONCE_AT, SEALED_AT), {
    authTagLength: TAG_BYTES,
  });
  wrapping.fill(0);
  const tagAt = SEALED_AT + DATA_KEY_BYTES;
  decipher.setAuthTag(bytes.subarray(tagAt, tagAt + TAG_BYTES));
  decipher.setAAD(bytes.subarray(0, SEALED_AT), { plaintextLength: DATA_KEY_BYTES });
  const dataKey = decipher.update(bytes.subarray(SEALED_AT, tagAt));
  try {
    decipher.final();
  } catch {
    dataKey.fill(0);
    throw wrong();
  }
  return dataKey;
}

/** A new data key, to be overwritten when it is done with. */
export function newDataKey(): Buffer {
  return randomBytes(DATA_KEY_BYTES);
}

/** The same characters give the same bytes, however a keyboard composes them (Unicode NFC, as in RFC 8265). */
function passphraseBytes(passphrase: string): Buffer {
  return Buffer.from(passphrase.normalize('NFC'));
}

/** Overwrites the passphrase. */
function stretch(passphrase: Buffer, salt: Uint8Array, { memoryKiB, passes, lanes }: Argon2Cost): Buffer {
  const key = argon2Sync('argon2id', {
    message: passphrase,
    nonce: salt,
    parallelism: lanes,
    tagLength: DATA_KEY_BYTES,
    memory: memoryKiB,
    passes,
  });
  passphrase.fill(0);
  return key;
}

function isBearable({ memoryKiB, passes, lanes }: Argon2Cost): boolean {
  return (
    passes >= 1 &&
    passes <= MAX_COST.passes &&
    lanes >= 1 &&
    lanes <= MAX_COST.lanes &&
    // RFC 9106, section 3.1: eight blocks a lane.
    memoryKiB >= 8 * lanes &&
    memoryKiB <= MAX_COST.memoryKiB &&
    memoryKiB * passes <= MAX_COST.workKiB
  );
}

function checksum(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, CHECKSUM_BYTES);
}

function withChecksum(...parts: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([bytes, checksum(bytes)]);
}

const damaged = (): DataKeyError => new DataKeyError('the data key is damaged', 'damaged');
const wrong = (): DataKeyError => new DataKeyError('the passphrase is wrong', 'wrong-passphrase');
