import type { StoreClient } from '../protocols/group-commit/client.ts';
import type { NameOperations, NameRow } from './name-table.ts';

/** Names kept in memory, at some 2 kB each: those that were asked for last. */
const KEPT_IN_MEMORY = 5_000;

/**
 * Names as they were read last, so that a lookup does not wait for the disk while others write. Only for the one who
 * writes them: it has to be told of every write before its answer is given.
 */
export function nameCache(
  store: Pick<StoreClient<NameOperations>, 'call'>,
  { kept = KEPT_IN_MEMORY }: { kept?: number } = {},
) {
  /** By name. Ordered by last use. */
  const rows = new Map<string, NameRow>();
  const nameOf = new Map<string, string>();
  /** What is read while something is written may be what was before. */
  let writes = 0;

  const drop = (name: string | undefined): void => {
    const row = name === undefined ? undefined : rows.get(name);
    if (row === undefined) return;
    rows.delete(row.name);
    nameOf.delete(row.owner);
  };

  return {
    async get(
      key: { name: string } | { owner: string },
      { nowMs }: { nowMs: number },
    ): Promise<NameRow | null> {
      const name = 'name' in key ? key.name : nameOf.get(key.owner);
      const known = name === undefined ? undefined : rows.get(name);
      if (known !== undefined && known.expiresMs > nowMs) {
        rows.delete(known.name);
        rows.set(known.name, known);
        return known;
      }
      const before = writes;
      const row = await store.call('names.get', { ...key, nowMs });
      if (row !== null && before === writes) {
        drop(row.name);
        drop(nameOf.get(row.owner));
        rows.set(row.name, row);
        nameOf.set(row.owner, row.name);
        if (rows.size > kept) drop(rows.keys().next().value);
      }
      return row;
    },

    /** Runs a write that concerns a name, an owner or both, and forgets what was known of them. */
    async writing<T>({ name, owner }: { name?: string; owner: string }, write: () => Promise<T>): Promise<T> {
      const forget = (): void => {
        writes++;
        drop(name);
        drop(nameOf.get(owner));
      };
      forget();
      try {
        return await write();
      } finally {
        // Also what was read between.
        forget();
      }
    },
  };
}
