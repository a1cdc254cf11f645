import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { passCommitPoint } from '../../protocols/group-commit/commit-points.ts';

/** Read, write or execute for anybody but the owner. */
const OTHERS = 0o077;

/** The bytes of a small file; undefined when there is none. */
export function readSecretFile(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether others than the owner may read a file; never on Windows, where the mode does not say. */
export function isExposed(file: string): boolean {
  return process.platform !== 'win32' && (statSync(file).mode & OTHERS) !== 0;
}

/**
 * Writes a file that only its owner may read, whole or not at all: beside it, synced, then renamed. What was there before is
 * overwritten on disk as far as the file system allows; one that copies on write, or a flash drive, may keep it.
 */
export function writeSecretFile(file: string, bytes: Uint8Array): void {
  const draft = `${file}.new`;
  const written = openSync(draft, 'w', 0o600);
  try {
    writeSync(written, bytes);
    fsyncSync(written);
  } finally {
    closeSync(written);
  }
  const old = openIfThere(file);
  try {
    passCommitPoint('before-commit', [basename(file)]);
    renameSync(draft, file);
    passCommitPoint('after-commit', [basename(file)]);
    syncFolder(dirname(file));
    if (old !== undefined) overwrite(old);
  } finally {
    if (old !== undefined) closeSync(old);
  }
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function overwrite(file: number): void {
  writeSync(file, Buffer.alloc(fstatSync(file).size), undefined, undefined, 0);
  fsyncSync(file);
}

/** Makes sure that what was put in place in a folder is still there after a power cut. */
export function syncFolder(folder: string): void {
  // Windows can't open a directory.
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  fsyncSync(handle);
  closeSync(handle);
}
