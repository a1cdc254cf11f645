import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fairReading, fairShares } from './fair-reading.ts';

void test('who wants little gets it all, the others alike', () => {
  assert.deepEqual(fairShares([1, 50, 30], 61), [1, 30, 30]);
  assert.deepEqual(fairShares([10, 20], 100), [10, 20]);
  assert.deepEqual(fairShares([], 10), []);
});

void test('shares never exceed what is wanted, nor the total', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000)), fc.nat(5000), (wanted, total) => {
      const shares = fairShares(wanted, total);
      assert.ok(shares.every((share, at) => share <= wanted[at]!));
      assert.ok(shares.reduce((sum, share) => sum + share, 0) <= total + 1e-6);
    }),
  );
});

function readers(busy = 1) {
  const clock = { nowMs: 0 };
  const fair = fairReading({ nowMs: () => clock.nowMs, workedMs: () => busy * 100 });
  const reader = (group: string) => {
    const state = { group, paused: false };
    const one = {
      group,
      pause: () => {
        state.paused = true;
      },
      resume: () => {
        state.paused = false;
      },
    };
    return { state, one, leave: fair.join(one) };
  };
  const pass = (ms: number): void => {
    clock.nowMs += ms;
    fair.tick();
  };
  return { fair, reader, pass };
}

void test('the busiest is held back so long that others have their part', () => {
  const { fair, reader, pass } = readers();
  const flood = reader('a');
  const honest = reader('b');
  fair.spent(flood.one, 95);
  fair.spent(honest.one, 5);
  pass(100);
  assert.equal(flood.state.paused, true);
  assert.equal(honest.state.paused, false);
  // 95 of 100 ms where 55 were its part: 73 ms of rest.
  pass(50);
  assert.equal(flood.state.paused, true);
  pass(50);
  assert.equal(flood.state.paused, false);
});

void test('one that joins a group held back is held back as well', () => {
  const { fair, reader, pass } = readers();
  const flood = reader('a');
  const honest = reader('b');
  fair.spent(flood.one, 99);
  fair.spent(honest.one, 1);
  pass(100);
  const another = reader('a');
  assert.equal(another.state.paused, true);
  another.leave();
});

void test('nobody is held back alone, nor when there is time for all', () => {
  const alone = readers();
  const only = alone.reader('a');
  alone.fair.spent(only.one, 100);
  alone.pass(100);
  assert.equal(only.state.paused, false);

  const idle = readers(0.5);
  const [many, few] = [idle.reader('a'), idle.reader('b')];
  idle.fair.spent(many.one, 49);
  idle.fair.spent(few.one, 1);
  idle.pass(100);
  assert.equal(many.state.paused, false);
});
