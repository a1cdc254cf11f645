import { DatabaseSync } from 'node:sqlite';
import { finishRepair, refuseTruncated } from '../../protocols/group-commit/repair.ts';
import { STORE_PRAGMAS } from '../../protocols/group-commit/worker.ts';
import { rowSealer } from '../at-rest/row-sealer.ts';
import type { RowSealer } from '../at-rest/row-sealer.ts';
import { beginAfterRestore } from '../backup/restored-store.ts';
import { nodeStore } from './operations.ts';
import { migrate, SEALED_VERSION } from './schema.ts';
import { sealedColumns } from './sealed-columns.ts';
import { checkDataKey } from './sealing.ts';

/** What a daemon's database is opened with. */
export interface NodeStoreData {
  file: string;
  /**
   * Asked once the file is held by this process; what it answers is overwritten here.
   *
   * @param isSealed whether there is something that only the right key opens
   */
  dataKey: (isSealed: boolean) => Buffer;
}

export interface OpenedFile {
  /** Seals other things under the same data key. */
  sealer: RowSealer;
  /** When the backup was made that this store was restored from, if it is opened for the first time since. */
  restoredMs: number | undefined;
}

/**
 * Opens the daemon's database, which this process then holds; one that is not sealed yet is.
 *
 * @param onDamage told when something in it can't be read, and the rest could
 */
export function openNodeStore(
  { file, dataKey }: NodeStoreData,
  onDamage: (error: Error) => void = () => undefined,
): ReturnType<typeof nodeStore> & OpenedFile {
  finishRepair(file);
  refuseTruncated(file);
  const database = new DatabaseSync(file);
  try {
    database.exec(STORE_PRAGMAS);
    // The first that is read takes the lock.
    const version = Number(database.prepare('PRAGMA user_version').get()!['user_version']);
    const key = dataKey(version >= SEALED_VERSION);
    const sealer = rowSealer(key);
    key.fill(0);
    const sealed = sealedColumns(sealer);
    migrate(database, sealed);
    // Keys are used and deleted: what a row had is not to stay in the file. (The log has it until it is written over.)
    database.exec('PRAGMA secure_delete = ON');
    checkDataKey(database, sealed);
    const restoredMs = beginAfterRestore(database, sealed);
    return { ...nodeStore(database, sealed, onDamage), sealer, restoredMs };
  } catch (error) {
    database.close();
    throw error;
  }
}
