import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { StoreClient } from '../protocols/group-commit/client.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { isHeld } from '../protocols/group-commit/repair.ts';
import { keyStateOf, openOrCreateKeyFile, requireKeyFile } from './at-rest/key-file.ts';
import type { AskPassphrase } from './at-rest/key-file.ts';
import { openNodeStore } from './store/file.ts';
import type { NodeStoreData, OpenedFile } from './store/file.ts';
import type { NodeOperations } from './store/operations.ts';

export const STORE_FILE = 'daemon.db';

export interface OpenedStore extends OpenedFile {
  store: StoreClient<NodeOperations>;
  /** What is under the store, to be copied while it is used. */
  database: DatabaseSync;
}

/**
 * Opens a data directory's store, which locks it, with its data key, which is made at the first start.
 *
 * @param onDamage told when something in the store can't be read, and the rest could
 * @throws StoreError `held` when another process has the data directory, before anybody is asked for a passphrase in
 * vain; `internal` with a DataKeyError as its cause; and what `askPassphrase` throws
 */
export async function openDaemonStore(
  dataDir: string,
  askPassphrase: AskPassphrase,
  onDamage: (error: Error) => void,
): Promise<OpenedStore> {
  const file = join(dataDir, STORE_FILE);
  if (isHeld(file)) throw new StoreError(`another process has ${file} open`, 'held');
  const passphrase = await askPassphrase(keyStateOf(dataDir));
  let opened: ReturnType<typeof openNodeStore>;
  const store = StoreClient.openHere(
    (data: NodeStoreData) => {
      opened = openNodeStore(data, onDamage);
      return opened;
    },
    {
      file,
      dataKey: (isSealed: boolean) =>
        isSealed ? requireKeyFile(dataDir, passphrase) : openOrCreateKeyFile(dataDir, passphrase),
    },
  );
  const { database, sealer, restoredMs } = opened!;
  return { store, database, sealer, restoredMs };
}
