import { statfs } from 'node:fs/promises';
import type { StoreError } from '../protocols/group-commit/operations.ts';

/** With less there is no room for the log of one batch of deposits. */
const MIN_FREE_BYTES = 1024 * 1024;

const DAMAGED = 'part of the store is damaged; stop the node and run: tincan doctor --repair';

export interface StoreHealthInit {
  /** Where the store is. */
  dataDir: string;
  /** Commits something; rejects when that fails. */
  probe: () => Promise<unknown>;
  /** Told once of each kind of trouble, and once when it is over. */
  onTrouble: (trouble: string, error: Error) => void;
  onRecovered: () => void;
}

/** Whether a store takes what it is given. */
export interface StoreHealth {
  /** A call failed. True when it is a failure of the disk, of which everything is said. */
  failed(error: Error): boolean;
  /** Why nothing can be kept now; undefined when all is well. Tries again what failed. */
  trouble(): Promise<string | undefined>;
}

/** Follows the outcome of a store's calls, so that a full or failing disk is known before somebody asks. */
export function storeHealth({ dataDir, probe, onTrouble, onRecovered }: StoreHealthInit): StoreHealth {
  let failing: 'disk-full' | 'io' | undefined;
  let damaged = false;
  let probing: Promise<void> | undefined;

  const freeBytes = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(dataDir);
    return bavail * bsize;
  };

  const tryAgain = async (): Promise<void> => {
    try {
      if ((await freeBytes()) < MIN_FREE_BYTES) return;
      await probe();
      failing = undefined;
      onRecovered();
    } catch {
      // `failed` was told.
    } finally {
      probing = undefined;
    }
  };

  const words = { 'disk-full': 'the disk is full', io: 'the disk fails' } as const;

  return {
    failed(error) {
      const { code } = error as StoreError;
      if (code === 'corrupt') {
        if (!damaged) onTrouble(DAMAGED, error);
        damaged = true;
        return true;
      }
      if (code !== 'disk-full' && code !== 'io') return false;
      if (failing !== code) onTrouble(words[code], error);
      failing = code;
      return true;
    },

    async trouble() {
      if (failing !== undefined) await (probing ??= tryAgain());
      if (failing !== undefined) return words[failing];
      if (damaged) return DAMAGED;
      return (await freeBytes()) < MIN_FREE_BYTES ? words['disk-full'] : undefined;
    },
  };
}
