import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { resourcesOf } from '../load/resources.ts';

/** Ticks of `/proc/PID/stat` a second: the same on every Linux. */
const TICKS = 100;
const LOOK_MS = 100;

/** Processor time that a process has had, in seconds. */
async function processorSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // Its name, in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** What a program took during some time. */
export interface Taken {
  peakRssBytes: number;
  peakHandles: number;
  /** Of one processor. */
  cpuShare: number;
}

/** Watches a process until the signal fires. All zero where there is no `/proc`. */
export async function watch(pid: number, { signal }: { signal: AbortSignal }): Promise<Taken> {
  const taken: Taken = { peakRssBytes: 0, peakHandles: 0, cpuShare: 0 };
  const before = await processorSeconds(pid);
  const start = performance.now();
  for (;;) {
    const now = await resourcesOf(pid);
    taken.peakRssBytes = Math.max(taken.peakRssBytes, now?.rssBytes ?? 0);
    taken.peakHandles = Math.max(taken.peakHandles, now?.handles ?? 0);
    if (signal.aborted) break;
    await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
  const used = (await processorSeconds(pid)) - before;
  return { ...taken, cpuShare: used / ((performance.now() - start) / 1000) || 0 };
}
