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
 * @param passphrases where they come from: that of the data directory is asked for, and tried, first
 * @throws BackupError, StoreError `held` when a program runs on it after all, what `openDaemonStore` and the
 * questions throw
 */
export async function backUpStopped(
  dataDir: string,
  { file, force }: Omit<BackupRequest, 'passphrase'>,
  passphrases: { ofBackup: () => Promise<string>; ofDataDir: AskPassphrase },
  { signal }: { signal: AbortSignal },
): Promise<BackupMade> {
  if (!existsSync(join(dataDir, STORE_FILE)) || keyStateOf(dataDir) === 'absent') {
    throw new BackupError(
      `there is nothing to back up in ${dataDir}: no daemon of this version has run on it`,
      'nothing-there',
    );
  }
  const { store, database, sealer } = await openDaemonStore(dataDir, passphrases.ofDataDir, () => undefined);
  try {
    const { make } = backupMaker({ dataDir, database, sealer, nowMs: Date.now });
    return await make({ file, force, passphrase: await passphrases.ofBackup() }, { signal });
  } finally {
    await store.close();
  }
}
