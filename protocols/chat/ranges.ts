/** A range of counters, both ends included. */
export interface Range {
  first: number;
  last: number;
}

/**
 * A set of message counters as ascending, disjoint, non-touching ranges: "delivered up to n", and a short list of
 * exceptions. Pure: every function returns a new list.
 */
export type Ranges = readonly Range[];

/** The set with `first..last` in it. */
export function addRange(ranges: Ranges, first: number, last: number): Range[] {
  const end = ranges.at(-1);
  // Nearly always the next counter follows the last one.
  if (end !== undefined && first <= end.last + 1 && first >= end.first) {
    return [...ranges.slice(0, -1), { first: end.first, last: Math.max(end.last, last) }];
  }
  const merged: Range[] = [];
  let added: Range = { first, last };
  for (const range of ranges) {
    if (range.last + 1 < added.first) merged.push(range);
    else if (added.last + 1 < range.first) {
      merged.push(added);
      added = range;
    } else added = { first: Math.min(range.first, added.first), last: Math.max(range.last, added.last) };
  }
  merged.push(added);
  return merged;
}

/** Whether `counter` is in the set. */
export function hasCounter(ranges: Ranges, counter: number): boolean {
  return ranges.some(({ first, last }) => first <= counter && counter <= last);
}

/** The largest n such that 1..n are all in the set; 0 when 1 is not. */
export function contiguousUpTo(ranges: Ranges): number {
  const start = ranges[0];
  return start?.first === 1 ? start.last : 0;
}

/** What of `first..last` is not in the set. */
export function missingFrom(ranges: Ranges, first: number, last: number): Range[] {
  const missing: Range[] = [];
  let at = first;
  for (const range of ranges) {
    if (range.last < at) continue;
    if (range.first > last) break;
    if (range.first > at) missing.push({ first: at, last: range.first - 1 });
    at = range.last + 1;
  }
  if (at <= last) missing.push({ first: at, last });
  return missing;
}

/** The counters that are in either set. */
export function withRanges(known: Ranges, ranges: Ranges): Range[] {
  return ranges.reduce<Range[]>((all, { first, last }) => addRange(all, first, last), [...known]);
}

/** What of `ranges` is not in `known`. */
export function withoutRanges(ranges: Ranges, known: Ranges): Range[] {
  return ranges.flatMap(({ first, last }) => missingFrom(known, first, last));
}

/** How many counters just before `counter` are not in the set, when `counter` itself is. */
export function missingBefore(ranges: Ranges, counter: number): number {
  let previous = 0;
  for (const { first, last } of ranges) {
    if (first === counter) return counter - previous - 1;
    if (last >= counter) return 0;
    previous = last;
  }
  return 0;
}
