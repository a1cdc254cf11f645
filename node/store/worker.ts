import { DatabaseSync } from 'node:sqlite';
import { serveStore, STORE_PRAGMAS } from '../../protocols/group-commit/worker.ts';
import { nodeStore } from './operations.ts';
import { migrate } from './schema.ts';

/** The thread that owns the daemon's database. */
serveStore(({ file }: { file: string }) => {
  const database = new DatabaseSync(file);
  database.exec(STORE_PRAGMAS);
  migrate(database);
  return nodeStore(database);
});
