import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addRange,
  contiguousUpTo,
  hasCounter,
  missingBefore,
  missingFrom,
  withoutRanges,
  withRanges,
} from './ranges.ts';
import type { Range, Ranges } from './ranges.ts';

const MOST = 60;
const range = fc
  .tuple(fc.integer({ min: 1, max: MOST }), fc.oneof(fc.constant(0), fc.nat(12)))
  .map(([first, more]): Range => ({ first, last: Math.min(MOST, first + more) }));

const counters = ({ first, last }: Range): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** The same set twice: as ranges, and counter by counter. */
function sets(added: readonly Range[]): { ranges: Ranges; model: Set<number> } {
  let ranges: Ranges = [];
  const model = new Set<number>();
  for (const { first, last } of added) {
    const before = structuredClone(ranges);
    const after = addRange(ranges, first, last);
    assert.deepEqual(ranges, before);
    ranges = after;
    for (const counter of counters({ first, last })) model.add(counter);
  }
  return { ranges, model };
}

const property = (check: (ranges: Ranges, model: Set<number>, other: Range) => void): void =>
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), range, (added, other) => {
      const { ranges, model } = sets(added);
      check(ranges, model, other);
    }),
  );

void test('adding keeps ranges ascending, disjoint and apart', () =>
  property((ranges, model) => {
    assert.deepEqual(
      ranges.flatMap(counters),
      [...model].sort((a, b) => a - b),
    );
    for (const [i, { first, last }] of ranges.entries()) {
      assert.ok(first <= last);
      assert.ok(i === 0 || first > ranges[i - 1]!.last + 1);
    }
  }));

void test('hasCounter', () =>
  property((ranges, model) => {
    for (let counter = 0; counter <= MOST + 1; counter++)
      assert.equal(hasCounter(ranges, counter), model.has(counter));
  }));

void test('contiguousUpTo', () =>
  property((ranges, model) => {
    let upTo = 0;
    while (model.has(upTo + 1)) upTo++;
    assert.equal(contiguousUpTo(ranges), upTo);
  }));

void test('missingFrom', () =>
  property((ranges, model, { first, last }) => {
    const missing = missingFrom(ranges, first, last);
    assert.deepEqual(
      missing.flatMap(counters),
      counters({ first, last }).filter((counter) => !model.has(counter)),
    );
    assert.deepEqual(
      missing.reduce<Range[]>((all, gap) => addRange(all, gap.first, gap.last), []),
      missing,
    );
  }));

void test('missingBefore', () =>
  property((ranges, model) => {
    for (const counter of model) {
      let missing = 0;
      while (counter - missing > 1 && !model.has(counter - missing - 1)) missing++;
      assert.equal(missingBefore(ranges, counter), missing);
    }
  }));

void test('counters come in order, in any order, twice, and up to the largest', () => {
  const inOrder = counters({ first: 1, last: 1000 }).reduce<Range[]>((all, n) => addRange(all, n, n), []);
  assert.deepEqual(inOrder, [{ first: 1, last: 1000 }]);
  assert.deepEqual(addRange(inOrder, 500, 500), inOrder);
  assert.deepEqual(addRange([{ first: 5, last: 6 }], 1, 3), [
    { first: 1, last: 3 },
    { first: 5, last: 6 },
  ]);
  const largest = Number.MAX_SAFE_INTEGER;
  assert.deepEqual(addRange([{ first: 1, last: largest - 1 }], largest, largest), [
    { first: 1, last: largest },
  ]);
});

void test('withRanges and withoutRanges', () =>
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), fc.array(range, { maxLength: 30 }), (some, others) => {
      const a = sets(some);
      const b = sets(others);
      assert.deepEqual(
        new Set(withRanges(a.ranges, b.ranges).flatMap(counters)),
        new Set([...a.model, ...b.model]),
      );
      assert.deepEqual(
        new Set(withoutRanges(a.ranges, b.ranges).flatMap(counters)),
        new Set([...a.model].filter((counter) => !b.model.has(counter))),
      );
    }),
  ));
