import type { MailboxLimits } from './mailbox-limits.ts';

/** A wait for room. */
interface Waiting {
  group: string;
  bytes: number;
  go: () => void;
}

/**
 * What is read from the disk for recipients and not yet on its way to them, bounded, so that recipients that do not read
 * fill no memory. One address has its own bound, so that they keep nobody else waiting.
 */
export function sendingRoom({
  sendingBytes,
  sendingBytesPerAddress,
}: Pick<MailboxLimits, 'sendingBytes' | 'sendingBytesPerAddress'>) {
  const ofGroup = new Map<string, number>();
  let total = 0;
  let waiting: Waiting[] = [];

  const fits = ({ group, bytes }: Pick<Waiting, 'group' | 'bytes'>): boolean => {
    const own = ofGroup.get(group) ?? 0;
    return (
      (own === 0 || own + bytes <= sendingBytesPerAddress) && (total === 0 || total + bytes <= sendingBytes)
    );
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
     * @throws the signal's reason
     */
    async take(group: string, bytes: number, { signal }: { signal: AbortSignal }): Promise<() => void> {
      signal.throwIfAborted();
      if (fits({ group, bytes })) add(group, bytes);
      else {
        await new Promise<void>((resolve, reject) => {
          const one: Waiting = { group, bytes, go: resolve };
          waiting.push(one);
          const onAbort = (): void => {
            const at = waiting.indexOf(one);
            if (at === -1) return;
            waiting.splice(at, 1);
            reject(signal.reason as Error);
          };
          signal.addEventListener('abort', onAbort, { once: true });
        });
      }
      return () => {
        add(group, -bytes);
        wake();
      };
    },
  };
}
