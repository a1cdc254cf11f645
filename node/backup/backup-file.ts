import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from '../at-rest/secret-file.ts';
import { BackupError } from './backup-error.ts';
import { BACKUP_MAGIC } from './sealed-stream.ts';
import type { ReadBytes } from './sealed-stream.ts';

/** Told apart from other drafts that were left behind. */
const DRAFT_BYTES = 4;

/** Read at a time of what is copied. */
const PIECE_BYTES = 256 * 1024;

/** A name beside a file's place, for what is to become it. */
export function draftOf(file: string): string {
  return `${file}.${randomBytes(DRAFT_BYTES).toString('hex')}.new`;
}

/**
 * Writes a backup file that only its owner may read, whole or not at all: beside its place, synced, then renamed.
 *
 * @param draft of `draftOf`: to be removed by whoever ends this thread midway
 * @param force whether to replace a backup that is there; what is no backup is never replaced
 * @returns its size
 * @throws BackupError `exists`, `disk-full`, `unwritable`, and what going through the content throws
 */
export function writeBackupFile(
  file: string,
  content: Iterable<Uint8Array>,
  { draft, force }: { draft: string; force: boolean },
): number {
  checkFree(file, force);
  const written = explainingSync('written', () => openSync(draft, 'wx', 0o600));
  let bytes = 0;
  try {
    try {
      for (const piece of content) {
        explainingSync('written', () => writeAll(written, piece));
        bytes += piece.byteLength;
      }
      explainingSync('written', () => fsyncSync(written));
    } finally {
      closeSync(written);
    }
    checkFree(file, force);
    explainingSync('written', () => {
      renameSync(draft, file);
      syncFolder(dirname(file));
    });
    return bytes;
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/**
 * Whether a backup may be written to this place.
 *
 * @throws BackupError `exists`
 */
export function checkFree(file: string, force: boolean): void {
  const start = Buffer.alloc(BACKUP_MAGIC.byteLength);
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw explained('written', error);
  }
  try {
    if (!force) throw new BackupError(`${file} is there already`, 'exists');
    // Who may ask for backups is not to be given a way to overwrite everything else.
    const isBackup = fstatSync(handle).isFile() && readSync(handle, start) === start.byteLength;
    if (!isBackup || !start.equals(BACKUP_MAGIC))
      throw new BackupError(`${file} is there already, and is no backup: remove it yourself`, 'exists');
  } finally {
    closeSync(handle);
  }
}

/**
 * Opens a backup file for reading, from its beginning to its end.
 *
 * @throws BackupError `unreadable`, `not-found`; so does reading
 */
export function readBackupFile(file: string): { read: ReadBytes; close: () => void } {
  const handle = explainingSync('read', () => openSync(file, 'r'));
  return {
    read: (bytes) => {
      const buffer = Buffer.alloc(bytes);
      let at = 0;
      for (;;) {
        const got = explainingSync('read', () => readSync(handle, buffer, at, bytes - at, null));
        at += got;
        if (got === 0 || at === bytes) return buffer.subarray(0, at);
      }
    },
    close: () => closeSync(handle),
  };
}

/** The bytes of a file that is not changed meanwhile, piece by piece. */
export function* piecesOf(file: string): Generator<Uint8Array, void> {
  const handle = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(PIECE_BYTES);
    for (;;) {
      const got = readSync(handle, buffer);
      if (got === 0) return;
      yield buffer.subarray(0, got);
    }
  } finally {
    closeSync(handle);
  }
}

/** Writes all of a piece, as a write may end before. */
export function writeAll(handle: number, piece: Uint8Array): void {
  for (let at = 0; at < piece.byteLength;) at += writeSync(handle, piece, at);
}

/** Does something with a file, and says what stands in the way so that its user understands. */
export function explainingSync<Value>(what: 'read' | 'written', act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    throw explained(what, error);
  }
}

function explained(what: 'read' | 'written', error: unknown): BackupError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' && what === 'read')
    return new BackupError(`there is nothing to read: ${message}`, 'not-found', { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new BackupError('the disk is full', 'disk-full', { cause: error });
  return new BackupError(`this can't be ${what}: ${message}`, what === 'read' ? 'unreadable' : 'unwritable', {
    cause: error,
  });
}
