import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { storeErrorCode } from '../../protocols/group-commit/operations.ts';
import { rowSealer } from '../at-rest/row-sealer.ts';
import type { Argon2Cost } from '../at-rest/data-key.ts';
import { sealedColumns } from '../store/sealed-columns.ts';
import { writeArchive } from './archive.ts';
import type { BackupParts } from './archive.ts';
import { piecesOf, writeBackupFile } from './backup-file.ts';
import { BackupError } from './backup-error.ts';
import { storeForBackup } from './restored-store.ts';
import { sealStream } from './sealed-stream.ts';

/** What a backup file is made of. */
export interface Packing {
  parts: BackupParts;
  /** A copy of the store, page by page; beside it there is room for another one. */
  copy: string;
  /** Where the backup goes. */
  file: string;
  /** Beside it, until it is whole. */
  draft: string;
  passphrase: string;
  force: boolean;
  /** Of guessing the passphrase; the usual unless given. */
  cost?: Argon2Cost;
}

/**
 * Makes a backup file. Takes about a second for 100,000 messages, in which it does nothing else: for a thread of its own.
 * `parts.dataKey` is overwritten.
 *
 * @returns the size of the file
 * @throws BackupError
 */
export function packBackup({ parts, copy, file, draft, passphrase, force, cost }: Packing): number {
  const compact = join(copy, '../store.db');
  try {
    const sealed = sealedColumns(rowSealer(parts.dataKey));
    compactCopy(() => storeForBackup(copy, compact, { sealed, madeMs: parts.madeMs }));
    rmSync(copy);
    const content = writeArchive(parts, statSync(compact).size, piecesOf(compact));
    return writeBackupFile(file, sealStream(content, passphrase, cost), { draft, force });
  } finally {
    parts.dataKey.fill(0);
    rmSync(compact, { force: true });
  }
}

function compactCopy(act: () => void): void {
  try {
    act();
  } catch (error) {
    switch (storeErrorCode(error)) {
      case 'disk-full':
        throw new BackupError('the disk is full', 'disk-full', { cause: error });
      case 'corrupt':
        throw new BackupError(
          'part of the store is damaged: stop the daemon and run: tincan doctor --repair',
          'unreadable',
          { cause: error },
        );
      default:
        throw error;
    }
  }
}
