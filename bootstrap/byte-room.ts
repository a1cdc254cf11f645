export interface ByteLimits {
  /** For all together. */
  total: number;
  /** For one address. */
  perAddress: number;
}

/** A wait for room. */
interface Waiting {
  group: string;
  bytes: number;
  go: () => void;
}

/**
 * Memory for bytes on their way, bounded: who would need more waits until others have given back theirs. One address has
 * its own bound, so that it keeps nobody else waiting. What is larger than all of it goes alone.
 */
export function byteRoom({ total: most, perAddress }: ByteLimits) {
  const ofGroup = new Map<string, number>();
  let total = 0;
  let waiting: Waiting[] = [];

  const fits = ({ group, bytes }: Pick<Waiting, 'group' | 'bytes'>): boolean => {
    const own = ofGroup.get(group) ?? 0;
    return (own === 0 || own + bytes <= perAddress) && (total === 0 || total + bytes <= most);
  };

  const add = (group: string, bytes: number): void => {
    total += bytes;
    const own = (ofGroup.get(group) ?? 0) + bytes;
    if (own === 0) ofGroup.delete(group);
    else ofGroup.set(group, own);
  };

  const wake = (): void => {
    const still: Waiting[] = [];
    for (const one of waiting) {
      if (!fits(one)) still.push(one);
      else {
        add(one.group, one.bytes);
        one.go();
      }
    }
    waiting = still;
  };

  return {
    /**
     * Waits for room.
     *
     * @returns what gives it back
     * @throws the signal's reason, if one is given
     */
    async take(group: string, bytes: number, { signal }: { signal?: AbortSignal } = {}): Promise<() => void> {
      signal?.throwIfAborted();
      if (fits({ group, bytes })) add(group, bytes);
      else {
        await new Promise<void>((resolve, reject) => {
          const one: Waiting = { group, bytes, go: resolve };
          waiting.push(one);
          const onAbort = (): void => {
            const at = waiting.indexOf(one);
            if (at === -1) return;
            waiting.splice(at, 1);
            reject(signal!.reason as Error);
          };
          signal?.addEventListener('abort', onAbort, { once: true });
        });
      }
      return () => {
        add(group, -bytes);
        wake();
      };
    },
  };
}
