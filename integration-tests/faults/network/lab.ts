import type { Place } from '../../harness/town.ts';

/** Hosts in network namespaces of their own, and a router between them that can be told to misbehave. */
export interface Lab extends AsyncDisposable {
  /** A host of its own for a program. */
  place(label: string): Promise<Place>;
  /** Packets from one to the other vanish, and those back too unless `oneWay`. */
  partition(from: string, to: string, options?: { oneWay?: boolean }): Promise<void>;
  /** This part of all packets to and from a host vanishes or comes twice, each a fraction of 1. */
  weather(label: string, rates: { lost: number; doubled: number }): Promise<void>;
  /** Fair weather, no partitions. */
  heal(): Promise<void>;
}
