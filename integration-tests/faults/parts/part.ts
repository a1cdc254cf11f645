/** What a part of a run found out. */
export interface PartReport {
  /** What was broken, in words; printed as it is. Empty when every promise was kept. */
  violations: readonly string[];
  /** One row a figure, for people and for docs/reliability.md. */
  figures: readonly FigureRow[];
  /** What could not be tried here, each with the reason. */
  leftOut?: readonly string[];
}

export interface FigureRow {
  name: string;
  value: string;
  /** What was asked for, and whether it was reached; empty for a figure that is only shown. */
  asked?: string;
}

export interface PartOptions {
  seed: number;
  /** What this part may take, about. */
  budgetMs: number;
  signal: AbortSignal;
  log: (line: string) => void;
}

/** One of the ways in which a run looks for trouble. */
export interface Part {
  name: string;
  about: string;
  /** Its part of the time, in a run that has it. */
  weight: number;
  /** It says little in a run shorter than this, which leaves it out unless it is asked for by name. */
  fromMinutes: number;
  run(options: PartOptions): Promise<PartReport>;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
