import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { keyStateOf } from '../at-rest/key-file.ts';
import type { AskPassphrase } from '../at-rest/key-file.ts';
import { openDaemonStore, STORE_FILE } from '../daemon-store.ts';
import { BackupError } from './backup-error.ts';
import { backupMaker } from './making.ts';
import type { BackupMade, BackupRequest } from './making.ts';

/**
 * Makes a backup of a data directory on which no daemon runs.
 *
 * @throws BackupError, StoreError `held` when a program runs on it after all, what `openDaemonStore` and `askPassphrase` throw
 */
export async function backUpStopped(
  dataDir: string,
  request: BackupRequest,
  askPassphrase: AskPassphrase,
  { signal }: { signal: AbortSignal },
): Promise<BackupMade> {
  if (!existsSync(join(dataDir, STORE_FILE)) || keyStateOf(dataDir) === 'absent') {
    throw new BackupError(
      `there is nothing to back up in ${dataDir}: no daemon of this version has run on it`,
      'nothing-there',
    );
  }
  const { store, database, sealer } = await openDaemonStore(dataDir, askPassphrase, () => undefined);
  try {
    return await backupMaker({ dataDir, database, sealer, nowMs: Date.now }).make(request, { signal });
  } finally {
    await store.close();
  }
}
