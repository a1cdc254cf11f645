import { DatabaseSync } from 'node:sqlite';
import { StoreError } from './operations.ts';
import { fixtureStore } from './store-fixture.ts';
import { serveStore, STORE_PRAGMAS } from './worker.ts';
import type { StoreData } from './worker.ts';

export interface FixtureData extends StoreData {
  /** What goes wrong while the store opens. */
  fault?: 'newer-version' | 'exit' | 'throw';
}

/** The worker thread of the store that the tests open. */
serveStore(({ file, fault }: FixtureData) => {
  if (fault === 'newer-version') throw new StoreError('written by a newer one', 'newer-version');
  if (fault === 'exit') process.exit(1);
  const database = new DatabaseSync(file);
  database.exec(STORE_PRAGMAS);
  if (fault === 'throw') throw new TypeError('a fault');
  return fixtureStore(database);
});
