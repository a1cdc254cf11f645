import { DatabaseSync } from 'node:sqlite';
import { STORE_PRAGMAS } from '../../protocols/group-commit/worker.ts';
import { nodeStore } from './operations.ts';
import { migrate } from './schema.ts';

/** Opens the daemon's database, which this process then holds. */
export function openNodeStore({ file }: { file: string }): ReturnType<typeof nodeStore> {
  const database = new DatabaseSync(file);
  database.exec(STORE_PRAGMAS);
  migrate(database);
  return nodeStore(database);
}
