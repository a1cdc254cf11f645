import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { encodeDataKey } from '../at-rest/data-key.ts';
import type { Argon2Cost } from '../at-rest/data-key.ts';
import { keyFileOf } from '../at-rest/key-file.ts';
import { syncFolder, writeSecretFile } from '../at-rest/secret-file.ts';
import { STORE_FILE } from '../daemon-store.ts';
import { readArchive } from './archive.ts';
import { BackupError } from './backup-error.ts';
import { explainingSync, readBackupFile, writeAll } from './backup-file.ts';
import { openStream, readHeader } from './sealed-stream.ts';

export interface Restored {
  peerId: string;
  /** When the backup was made, milliseconds since 1970. */
  madeMs: number;
}

/** A backup whose passphrase was right. */
export interface OpenBackup {
  /**
   * Makes the data directory of it. All of the file is checked before anything is in place; who is killed on the way leaves
   * a folder beside the data directory, named after it with `.restoring-` and six characters, in which nothing can be read.
   *
   * @param passphrase of the new data directory; null for none
   * @throws BackupError `damaged`, `not-empty`, `disk-full`, `unwritable`, `unreadable`; DataKeyError `passphrase-unusable`
   */
  restore(passphrase: string | null, cost?: Argon2Cost): Restored;
  close(): void;
}

/**
 * Whether a backup can be restored to a data directory: it is not there, or empty.
 *
 * @throws BackupError `not-empty`, `unreadable`
 */
function checkEmpty(dataDir: string): void {
  let found: string[];
  try {
    found = readdirSync(dataDir);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') throw new BackupError(`${dataDir} is no folder`, 'not-empty');
    throw new BackupError(`this can't be read: ${message}`, 'unreadable', { cause: error });
  }
  if (found.length > 0) {
    throw new BackupError(
      `${dataDir} is not empty; restore to another one with --data-dir, or move this one away`,
      'not-empty',
    );
  }
}

/**
 * Opens a backup file to restore it to a data directory.
 *
 * @param askPassphrase of the backup; asked when the file is one and the data directory is free for it
 * @throws BackupError `not-empty`, `unreadable`, `not-found`, `no-backup`, `newer-version`, `damaged`, `wrong-passphrase`
 */
export async function openBackup(
  file: string,
  dataDir: string,
  askPassphrase: () => Promise<string>,
): Promise<OpenBackup> {
  checkEmpty(dataDir);
  const { read, close } = readBackupFile(file);
  let content: Iterable<Uint8Array>;
  try {
    const header = readHeader(read);
    content = openStream(header, read, await askPassphrase());
  } catch (error) {
    close();
    throw error;
  }
  return {
    close,
    restore(newPassphrase, cost) {
      checkEmpty(dataDir);
      const parent = dirname(dataDir);
      explainingSync('written', () => mkdirSync(parent, { recursive: true }));
      const draft = explainingSync('written', () =>
        mkdtempSync(join(parent, `${basename(dataDir)}.restoring-`)),
      );
      try {
        const restored = fill(draft, content, newPassphrase, cost);
        putInPlace(draft, dataDir);
        return restored;
      } catch (error) {
        rmSync(draft, { recursive: true, force: true });
        throw error;
      }
    },
  };
}

/** The data key goes last: without it, nothing else in the folder says anything. */
function fill(
  draft: string,
  content: Iterable<Uint8Array>,
  passphrase: string | null,
  cost: Argon2Cost | undefined,
): Restored {
  const store = explainingSync('written', () => openSync(join(draft, STORE_FILE), 'wx', 0o600));
  let parts;
  try {
    parts = readArchive(content, (piece) => explainingSync('written', () => writeAll(store, piece)));
    explainingSync('written', () => fsyncSync(store));
  } finally {
    closeSync(store);
  }
  const { peerId, madeMs, dataKey, identity, settings } = parts;
  let keyFile: Buffer;
  try {
    keyFile = encodeDataKey(dataKey, passphrase, cost);
  } finally {
    dataKey.fill(0);
  }
  explainingSync('written', () => {
    writeSecretFile(join(draft, 'identity.key'), identity);
    if (settings !== null) writeSecretFile(join(draft, 'config.toml'), settings);
    writeSecretFile(keyFileOf(draft), keyFile);
  });
  keyFile.fill(0);
  return { peerId, madeMs };
}

/** Of another folder that came there meanwhile, nothing is lost: a rename replaces an empty one alone. */
function putInPlace(draft: string, dataDir: string): void {
  checkEmpty(dataDir);
  // Windows replaces no folder, not even an empty one.
  if (process.platform === 'win32' && existsSync(dataDir)) rmdirSync(dataDir);
  try {
    renameSync(draft, dataDir);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST')
      throw new BackupError(`${dataDir} is not empty any more`, 'not-empty');
    throw new BackupError(
      `${dataDir} can't be put in place (${message}); where it is a disk of its own, restore to a folder in it`,
      'unwritable',
      { cause: error },
    );
  }
  explainingSync('written', () => syncFolder(dirname(dataDir)));
}
