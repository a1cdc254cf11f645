import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '../../harness/program.ts';

/** What a process has of the machine. */
export interface Resources {
  rssBytes: number;
  /** The part of it that no file backs: heap, buffers, stacks. What is mapped from files comes and goes with the cache. */
  anonymousBytes: number;
  /** The most it ever had in memory. */
  peakRssBytes: number;
  /** Open files, sockets and the like. */
  handles: number;
  threads: number;
  /** CPU it has used since its start, milliseconds of all threads together. */
  cpuMs: number;
}

export interface Allowance {
  /** Of what there was after warm-up. */
  share: number;
  /** Beside that: caches that fill slowly, and pages that one object keeps. */
  bytes: number;
  /** A connection, a statement's file and a client of the API that is just being answered. */
  handles: number;
  /** Node's pool of four comes when it is first needed. */
  threads: number;
}

export const ALLOWANCE: Allowance = { share: 0.1, bytes: 8 * 1024 * 1024, handles: 5, threads: 4 };

/** Long enough for V8 to collect what a load left behind, and for connections that were cut to be closed. */
const SETTLE_MS = 5_000;
const LOOK_MS = 250;

/** Linux counts CPU time for programs in hundredths of a second. */
const TICK_MS = 10;

/** Reads what a process has. Undefined where there is no `/proc`, or no such process any more. */
export async function resourcesOf(pid: number): Promise<Resources | undefined> {
  try {
    const [status, stat, handles] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readdir(`/proc/${pid}/fd`),
    ]);
    const figure = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    // Behind the name, which may hold anything, the 12th and the 13th.
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number);
    return {
      rssBytes: figure('VmRSS') * 1024,
      anonymousBytes: figure('RssAnon') * 1024,
      peakRssBytes: figure('VmHWM') * 1024,
      handles: handles.length,
      threads: figure('Threads'),
      cpuMs: (user! + system!) * TICK_MS,
    };
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

export interface SettleOptions {
  signal: AbortSignal;
  settleMs?: number;
  /**
   * Makes the process collect its garbage. Without it the figure is what V8 left lying about: it does not collect while
   * nothing goes on. Measured over ten loads of 20,000 messages at a daemon: 130 to 158 MiB without, 90 to 92 MiB with.
   */
  collect?: () => Promise<void>;
}

/**
 * What a process has when it is left alone: of each figure the least that was seen in five seconds, in which memory goes
 * back to the system and what was cut is closed.
 */
export async function settledResources(
  pid: number,
  { signal, settleMs = SETTLE_MS, collect }: SettleOptions,
): Promise<Resources | undefined> {
  await collect?.();
  const until = performance.now() + settleMs;
  let least = await resourcesOf(pid);
  while (least !== undefined && performance.now() < until) {
    await delay(LOOK_MS, undefined, { signal });
    const now = await resourcesOf(pid);
    if (now === undefined) return undefined;
    least = {
      rssBytes: Math.min(least.rssBytes, now.rssBytes),
      anonymousBytes: Math.min(least.anonymousBytes, now.anonymousBytes),
      peakRssBytes: now.peakRssBytes,
      handles: Math.min(least.handles, now.handles),
      threads: Math.min(least.threads, now.threads),
      cpuMs: now.cpuMs,
    };
  }
  return least;
}

/** What a program holds on to. */
export interface Held extends Pick<Resources, 'handles' | 'threads'> {
  /** Heap and buffers of its main thread, garbage collected. What V8 has of the machine beyond that says little. */
  bytes: number;
}

/** Of a program that runs with the hook. */
export async function heldBy(program: Pick<Program, 'tell' | 'pid'>): Promise<Held> {
  const { heapUsed, external } = await program.tell({ type: 'collect-garbage' });
  const { handles = 0, threads = 0 } = (await resourcesOf(program.pid)) ?? {};
  return { bytes: heapUsed + external, handles, threads };
}

/** What has grown beyond the allowance, in words; nothing when all is well. */
export function growth(warm: Held, end: Held, allowance: Allowance = ALLOWANCE): string[] {
  const found: string[] = [];
  const compare = (what: string, before: number, after: number, free: number, unit: string): void => {
    if (after <= before * (1 + allowance.share) + free) return;
    found.push(`${what} grew from ${before}${unit} to ${after}${unit}`);
  };
  const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024);
  compare('memory', mib(warm.bytes), mib(end.bytes), mib(allowance.bytes), ' MiB');
  compare('open handles', warm.handles, end.handles, allowance.handles, '');
  compare('threads', warm.threads, end.threads, allowance.threads, '');
  return found;
}
