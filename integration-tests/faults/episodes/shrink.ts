/**
 * Finds a short list that still fails: delta debugging (Zeller and Hildebrandt, "Simplifying and isolating
 * failure-inducing input", 2002), without its promise of a minimum, as each look is a run of programs and one that fails
 * now and then may be missed.
 *
 * @param fails whether a part of the list still fails; the order of the list is kept
 * @param mayGoOn asked before each look: no is the end, with what was found so far
 */
export async function shrink<T>(
  list: readonly T[],
  fails: (part: readonly T[]) => Promise<boolean>,
  mayGoOn: () => boolean,
): Promise<readonly T[]> {
  let shortest = list;
  let pieces = 2;
  while (shortest.length > 0) {
    const size = Math.ceil(shortest.length / pieces);
    let found: readonly T[] | undefined;
    for (let from = 0; from < shortest.length && found === undefined; from += size) {
      if (!mayGoOn()) return shortest;
      const rest = [...shortest.slice(0, from), ...shortest.slice(from + size)];
      if (await fails(rest)) found = rest;
    }
    if (found !== undefined) {
      shortest = found;
      pieces = Math.max(2, pieces - 1);
    } else if (size === 1) {
      return shortest;
    } else {
      pieces = Math.min(shortest.length, pieces * 2);
    }
  }
  return shortest;
}
