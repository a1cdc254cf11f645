import type { AttackTarget } from './attack.ts';

/** What a program may take while it is attacked, as docs/operating-a-bootstrap-node.md has it. */
export interface HostileLimits {
  /** Resident memory at its peak. */
  rssBytes: number;
  /** Open files and sockets at their peak. */
  handles: number;
  /**
   * Heap and buffers of the main thread, garbage collected, after the attack, above what they were before: caches that
   * have a bound of their own.
   */
  keptBytes: number;
  /** Handles some seconds after the attack, above what they were before. */
  keptHandles: number;
}

const MIB = 1024 * 1024;

export const HOSTILE_LIMITS: Record<AttackTarget['by'], HostileLimits> = {
  // The operator is told to plan for 1 GB, and for twice `--max-connections` handles. The peer store may fill its 48 MiB, and
  // caches of names and mailboxes.
  bootstrap: { rssBytes: 1024 * MIB, handles: 2 * 4_096, keptBytes: 96 * MIB, keptHandles: 25 },
  // Some 180 MB when idle, 500 connections of 100 KiB, a window for each stream in use.
  daemon: { rssBytes: 512 * MIB, handles: 2 * 500 + 256, keptBytes: 32 * MIB, keptHandles: 25 },
};

/** What an honest peer's p99 may become: said in a table, never asserted. */
export const LATENCY_RATIO = 3;
