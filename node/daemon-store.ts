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

/** Who asks for the passphrase, or the data key that one has opened already: it is overwritten when it is done with. */
export type KeySource = AskPassphrase | Buffer;

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
 * vain; `internal` with a DataKeyError as its cause; and what `key` throws
 */
export async function openDaemonStore(
  dataDir: string,
  key: KeySource,
  onDamage: (error: Error) => void,
): Promise<OpenedStore> {
  const file = join(dataDir, STORE_FILE);
  if (isHeld(file)) throw new StoreError(`another process has ${file} open`, 'held');
  const passphrase = typeof key === 'function' ? await key(keyStateOf(dataDir)) : null;
  let opened: ReturnType<typeof openNodeStore>;
  const store = StoreClient.openHere(
    (data: NodeStoreData) => {
      opened = openNodeStore(data, onDamage);
      return opened;
    },
    {
      file,
      dataKey(isSealed: boolean) {
        if (typeof key !== 'function') return key;
        return isSealed ? requireKeyFile(dataDir, passphrase) : openOrCreateKeyFile(dataDir, passphrase);
      },
    },
  );
  const { database, sealer, restoredMs } = opened!;
  return { store, database, sealer, restoredMs };
}
