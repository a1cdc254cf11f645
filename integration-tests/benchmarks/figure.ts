/** One thing that is measured, beside the floors it is compared with, all in the same run. */
export interface Figure {
  name: string;
  unit: string;
  /** Whether more is better. */
  higherIsBetter: boolean;
  ours: () => Promise<number>;
  floors: Floor[];
}

export interface Floor {
  name: string;
  run: () => Promise<number>;
  /** What `ours / floor` should reach (at least where higher is better, at most where lower is); null to print only. */
  reach: number | null;
}

export interface Measured {
  name: string;
  unit: string;
  ours: number[];
  floors: { name: string; values: number[]; reach: number | null; ratio: number; reached: boolean | null }[];
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The value below which `share` of all lie. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/**
 * Measures ours and the floors in turn, `runs` times, after one turn that does not count: on a machine whose speed drifts
 * they drift together. A ratio is the median of the ratios of each turn.
 */
export async function measure(
  figure: Figure,
  runs: number,
  onTurn: (turn: number) => void,
): Promise<Measured> {
  const ours: number[] = [];
  const floors = figure.floors.map(({ name, reach }) => ({ name, reach, values: [] as number[] }));
  for (let turn = 0; turn <= runs; turn++) {
    onTurn(turn);
    const own = await figure.ours();
    if (turn > 0) ours.push(own);
    for (const [index, { run }] of figure.floors.entries()) {
      const value = await run();
      if (turn > 0) floors[index]!.values.push(value);
    }
  }
  return {
    name: figure.name,
    unit: figure.unit,
    ours,
    floors: floors.map(({ name, reach, values }) => {
      const ratio = median(values.map((value, index) => ours[index]! / value));
      const reached = reach === null ? null : figure.higherIsBetter ? ratio >= reach : ratio <= reach;
      return { name, values, reach, ratio, reached };
    }),
  };
}
