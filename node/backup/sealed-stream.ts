import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  DataKeyError,
  decodeDataKey,
  encodeDataKey,
  MAX_KEY_FILE_BYTES,
  newDataKey,
} from '../at-rest/data-key.ts';
import type { Argon2Cost } from '../at-rest/data-key.ts';
import { BackupError } from './backup-error.ts';

/** What begins every backup file. */
export const BACKUP_MAGIC: Buffer = Buffer.from('tincan backup\n');

const VERSION = 1;
const VERSION_AT = BACKUP_MAGIC.byteLength;
const KEY_AT = VERSION_AT + 1;

/** What is before the first chunk. */
export const HEADER_BYTES = KEY_AT + MAX_KEY_FILE_BYTES;

/** Plain bytes in a chunk: all that is held in memory at a time, twice. Its tag is a quarter of a thousandth of it. */
export const CHUNK_BYTES = 64 * 1024;

const TAG_BYTES = 16;
export const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES;

const CIPHER = 'chacha20-poly1305';
const CIPHER_OPTIONS = { authTagLength: TAG_BYTES };
const NONCE_BYTES = 12;
/** 2^48 chunks are more than any disk holds. */
const COUNTER_BYTES = 6;

/** Reads on from where it was: fewer bytes than asked for only at the end, then none. */
export type ReadBytes = (bytes: number) => Uint8Array;

/**
 * Seals a stream of bytes into a backup file.
 *
 * Layout: "tincan backup\n", version (1 byte), a random key for this file alone, wrapped under what Argon2id makes of the
 * passphrase (at-rest/data-key.ts: 111 bytes, with its own cost, salt, tag and checksum); then chunks of `CHUNK_BYTES`, the
 * last one of 1 to `CHUNK_BYTES`, each sealed with ChaCha20-Poly1305 and followed by its tag of 16 bytes. The nonce is the number
 * of the chunk (11 bytes, big-endian) and 1 for the last one or else 0 (the STREAM construction of Hoang, Reyhanitabar,
 * Rogaway and Vizár, 2015, as age has it): no chunk can be left out, moved, doubled, or put behind the last. All before the
 * first chunk is associated data of each.
 *
 * @param content at least one byte; pieces of any size
 * @throws BackupError `passphrase-unusable`, before anything is read
 */
export function sealStream(
  content: Iterable<Uint8Array>,
  passphrase: string,
  cost?: Argon2Cost,
): Iterable<Uint8Array> {
  const fileKey = newDataKey();
  let wrapped: Buffer;
  try {
    wrapped = encodeDataKey(fileKey, passphrase, cost);
  } catch (error) {
    throw explained(error);
  }
  const header = Buffer.concat([BACKUP_MAGIC, Buffer.of(VERSION), wrapped]);
  const key = createSecretKey(fileKey);
  fileKey.fill(0);
  return sealChunks(header, key, content);
}

function* sealChunks(
  header: Buffer,
  key: KeyObject,
  content: Iterable<Uint8Array>,
): Generator<Uint8Array, void> {
  yield header;
  let counter = 0;
  const plain = Buffer.alloc(CHUNK_BYTES);
  let filled = 0;
  const seal = (isLast: boolean): Buffer => {
    const cipher = createCipheriv(CIPHER, key, nonceOf(counter++, isLast), CIPHER_OPTIONS);
    cipher.setAAD(header);
    const sealed = cipher.update(plain.subarray(0, filled));
    cipher.final();
    filled = 0;
    return Buffer.concat([sealed, cipher.getAuthTag()]);
  };
  try {
    for (const piece of content) {
      for (let at = 0; at < piece.byteLength;) {
        // A full one is kept until more comes: the last is sealed as that.
        if (filled === CHUNK_BYTES) yield seal(false);
        const part = piece.subarray(at, at + CHUNK_BYTES - filled);
        plain.set(part, filled);
        filled += part.byteLength;
        at += part.byteLength;
      }
    }
    yield seal(true);
  } finally {
    plain.fill(0);
  }
}

/**
 * Reads what is before the first chunk.
 *
 * @throws BackupError `no-backup`, `newer-version`, `damaged`
 */
export function readHeader(read: ReadBytes): Buffer {
  const header = Buffer.from(read(HEADER_BYTES));
  if (!header.subarray(0, BACKUP_MAGIC.byteLength).equals(BACKUP_MAGIC))
    throw new BackupError('this is no backup of Tincan', 'no-backup');
  const version = header[VERSION_AT] ?? 0;
  if (version > VERSION) {
    throw new BackupError(`the backup has format ${version}, this Tincan knows ${VERSION}`, 'newer-version');
  }
  if (version !== VERSION || header.byteLength !== HEADER_BYTES) throw damaged();
  return header;
}

/**
 * Opens a backup file of which the header was read. The passphrase is tried at once; of what is then gone through, each
 * chunk is checked before it is handed out, and that nothing is missing at the end when the end is reached. A chunk
 * handed out is overwritten when the next one is asked for.
 *
 * @throws BackupError `wrong-passphrase`, `newer-version`, `damaged`; while going through it `damaged`
 */
export function openStream(header: Buffer, read: ReadBytes, passphrase: string): Iterable<Uint8Array> {
  let fileKey: Buffer;
  try {
    fileKey = decodeDataKey(header.subarray(KEY_AT), passphrase);
  } catch (error) {
    throw explained(error);
  }
  const key = createSecretKey(fileKey);
  fileKey.fill(0);
  return openChunks(header, key, read);
}

function* openChunks(header: Buffer, key: KeyObject, read: ReadBytes): Generator<Uint8Array, void> {
  let sealed = read(SEALED_CHUNK_BYTES);
  for (let counter = 0; ; counter++) {
    const next = read(SEALED_CHUNK_BYTES);
    const isLast = next.byteLength === 0;
    const end = sealed.byteLength - TAG_BYTES;
    if (end < 1) throw damaged();
    const decipher = createDecipheriv(CIPHER, key, nonceOf(counter, isLast), CIPHER_OPTIONS);
    decipher.setAAD(header);
    decipher.setAuthTag(sealed.subarray(end));
    const plain = decipher.update(sealed.subarray(0, end));
    try {
      try {
        decipher.final();
      } catch {
        throw damaged();
      }
      yield plain;
    } finally {
      plain.fill(0);
    }
    if (isLast) return;
    sealed = next;
  }
}

function nonceOf(counter: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUIntBE(counter, NONCE_BYTES - 1 - COUNTER_BYTES, COUNTER_BYTES);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

export const damaged = (cause?: unknown): BackupError =>
  new BackupError('the backup is damaged: it was changed, or it is not whole', 'damaged', { cause });

/** What an error of the wrapped key means to somebody who has a backup. */
function explained(error: unknown): unknown {
  if (!(error instanceof DataKeyError)) return error;
  switch (error.code) {
    case 'wrong-passphrase':
      return new BackupError('the passphrase of the backup is wrong', 'wrong-passphrase');
    case 'passphrase-unusable':
      return new BackupError(error.message, 'passphrase-unusable');
    case 'newer-version':
      return new BackupError('the backup was made by a newer Tincan: update this one', 'newer-version');
    default:
      return damaged(error);
  }
}
