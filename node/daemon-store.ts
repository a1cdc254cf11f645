import { join } from 'node:path';
import { StoreClient } from '../protocols/group-commit/client.ts';
import { StoreError } from '../protocols/group-commit/operations.ts';
import { isHeld } from '../protocols/group-commit/repair.ts';
import { keyStateOf, openOrCreateKeyFile, requireKeyFile } from './at-rest/key-file.ts';
import type { AskPassphrase } from './at-rest/key-file.ts';
import type { RowSealer } from './at-rest/row-sealer.ts';
import { openNodeStore } from './store/file.ts';
import type { NodeStoreData } from './store/file.ts';
import type { NodeOperations } from './store/operations.ts';

export const STORE_FILE = 'daemon.db';

/**
 * Opens a data directory's store, which locks it, with its data key, which is made at the first start.
 *
 * @param onDamage told when something in the store can't be read, and the rest could
 * @returns the store, and what seals other things under the same data key
 * @throws StoreError `held` when another process has the data directory, before anybody is asked for a passphrase in
 * vain; `internal` with a DataKeyError as its cause; and what `askPassphrase` throws
 */
export async function openDaemonStore(
  dataDir: string,
  askPassphrase: AskPassphrase,
  onDamage: (error: Error) => void,
): Promise<{ store: StoreClient<NodeOperations>; sealer: RowSealer }> {
  const file = join(dataDir, STORE_FILE);
  if (isHeld(file)) throw new StoreError(`another process has ${file} open`, 'held');
  const passphrase = await askPassphrase(keyStateOf(dataDir));
  let sealer: RowSealer;
  const store = StoreClient.openHere(
    (data: NodeStoreData) => {
      const opened = openNodeStore(data, onDamage);
      ({ sealer } = opened);
      return opened;
    },
    {
      file,
      dataKey: (isSealed: boolean) =>
        isSealed ? requireKeyFile(dataDir, passphrase) : openOrCreateKeyFile(dataDir, passphrase),
    },
  );
  return { store, sealer: sealer! };
}
