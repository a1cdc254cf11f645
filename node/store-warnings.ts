import { storeErrorCode } from '../protocols/group-commit/operations.ts';
import type { StoreErrorCode } from '../protocols/group-commit/operations.ts';

/** Tells the user of a store that fails: once of each kind, however often it does. */
export interface StoreWarnings {
  /** Something failed, or was left out of an answer. */
  failed(error: Error): void;
  /** Begins to tell; what failed before is told now. */
  tell(add: (warning: string) => void): void;
}

export function storeWarnings(dataDir: string): StoreWarnings {
  const texts: Partial<Record<StoreErrorCode, string>> = {
    corrupt: `part of the store is damaged and can't be read; stop the daemon and run: tincan doctor --repair --data-dir ${dataDir}`,
    io: `the disk reported an error, or may not be written: see to it, and to ${dataDir}`,
  };
  const told = new Set<string>();
  let add: ((warning: string) => void) | undefined;
  return {
    failed(error) {
      const text = texts[storeErrorCode(error)];
      if (text === undefined || told.has(text)) return;
      told.add(text);
      add?.(text);
    },
    tell(listener) {
      add = listener;
      for (const text of told) listener(text);
    },
  };
}
