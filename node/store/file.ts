import { DatabaseSync } from 'node:sqlite';
import { finishRepair, refuseTruncated } from '../../protocols/group-commit/repair.ts';
import { STORE_PRAGMAS } from '../../protocols/group-commit/worker.ts';
import { nodeStore } from './operations.ts';
import { migrate } from './schema.ts';

/**
 * Opens the daemon's database, which this process then holds.
 *
 * @param onDamage told when something in it can't be read, and the rest could
 */
export function openNodeStore(
  { file }: { file: string },
  onDamage: (error: Error) => void = () => undefined,
): ReturnType<typeof nodeStore> {
  finishRepair(file);
  refuseTruncated(file);
  const database = new DatabaseSync(file);
  try {
    database.exec(STORE_PRAGMAS);
    migrate(database);
    return nodeStore(database, onDamage);
  } catch (error) {
    database.close();
    throw error;
  }
}
