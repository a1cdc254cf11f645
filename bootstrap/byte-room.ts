export interface ByteLimits {
  /** For all together. */
  total: number;
  /** For one address. */
  perAddress: number;
}

/** An address that took room this long ago may be back at any time. */
const COMPANY_MS = 1_000;

/** A wait for room. */
interface Waiting {
  group: string;
  bytes: number;
  go: () => void;
}

/**
 * Memory for bytes on their way, bounded: who would need more waits until others have given back theirs. One address has
 * its own bound, so that it keeps nobody else waiting, while there is somebody else. What is larger than all of it goes
 * alone.
 */
export function byteRoom(
  { total: most, perAddress }: ByteLimits,
  { nowMs = () => performance.now() }: { nowMs?: () => number } = {},
) {
  const ofGroup = new Map<string, number>();
  let total = 0;
  let waiting: Waiting[] = [];
  /** Who took last, and until when there is somebody else. */
  let lastGroup: string | undefined;
  let companyUntilMs = 0;

  const fits = ({ group, bytes }: Pick<Waiting, 'group' | 'bytes'>): boolean => {
    const own = ofGroup.get(group) ?? 0;
    const mostOfOne = nowMs() < companyUntilMs ? perAddress : most;
    return (own === 0 || own + bytes <= mostOfOne) && (total === 0 || total + bytes <= most);
  };

  const add = (group: string, bytes: number): void => {
    total += bytes;
    const own = (ofGroup.get(group) ?? 0) + bytes;
    if (own === 0) ofGroup.delete(group);
    else ofGroup.set(group, own);
  };

  /** Lets in who waits for room that there is; those first whose address has the least. */
  const wake = (): void => {
    if (waiting.length === 0) return;
    const own = ({ group }: Waiting): number => ofGroup.get(group) ?? 0;
    const admitted = new Set<Waiting>();
    for (const one of waiting.toSorted((a, b) => own(a) - own(b))) {
      if (!fits(one)) continue;
      add(one.group, one.bytes);
      admitted.add(one);
      one.go();
    }
    if (admitted.size > 0) waiting = waiting.filter((one) => !admitted.has(one));
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
      if (lastGroup !== undefined && lastGroup !== group) companyUntilMs = nowMs() + COMPANY_MS;
      lastGroup = group;
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
