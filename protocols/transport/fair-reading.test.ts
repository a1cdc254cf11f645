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

/** A thread that works `busy` of the time; time passes, and sockets are looked at, when the test says so. */
function readers(busy = 1) {
  let nowMs = 0;
  let timer: { call: () => void; atMs: number } | undefined;
  let turns: (() => void)[] = [];
  let lookedMs = 0;
  const fair = fairReading({
    nowMs: () => nowMs,
    workedMs() {
      const worked = (nowMs - lookedMs) * busy;
      lookedMs = nowMs;
      return worked;
    },
    later: (then, ms) => (timer = { call: then, atMs: nowMs + ms }),
    nextTurn: (then) => turns.push(then),
  });
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
  const turn = (): void => {
    for (const then of turns.splice(0)) then();
  };
  const pass = (ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs;) {
      nowMs++;
      turn();
      if (timer === undefined || timer.atMs > nowMs) continue;
      const { call } = timer;
      timer = undefined;
      call();
    }
  };
  return { fair, reader, pass, turn };
}

void test('the busiest is held back at once, so long that others have their part', () => {
  const { fair, reader, pass } = readers();
  const flood = reader('a');
  const honest = reader('b');
  fair.spent(honest.one, 1);
  fair.spent(flood.one, 1);
  assert.equal(flood.state.paused, false);
  fair.spent(flood.one, 17);
  assert.deepEqual([flood.state.paused, honest.state.paused], [true, false]);
  // 18 ms where 9 of 20 were its part: 40 ms.
  pass(38);
  assert.equal(flood.state.paused, true);
  pass(30);
  assert.equal(flood.state.paused, false);
});

void test('what was not known is charged in proportion when the thread was busy', () => {
  const { fair, reader, pass } = readers();
  const [flood, honest] = [reader('a'), reader('b')];
  fair.spent(flood.one, 4);
  fair.spent(honest.one, 0.5);
  pass(20);
  assert.deepEqual([flood.state.paused, honest.state.paused], [true, false]);

  const idle = readers(0.2);
  const [many, few] = [idle.reader('a'), idle.reader('b')];
  idle.fair.spent(few.one, 0.5);
  idle.fair.spent(many.one, 2);
  idle.pass(20);
  assert.equal(many.state.paused, false);
});

void test('who has had a turn lets the others have theirs, one after the other', () => {
  const { fair, reader, turn } = readers();
  const [a, b] = [reader('a'), reader('b')];
  fair.spent(a.one, 2);
  fair.spent(b.one, 1.4);
  assert.deepEqual([a.state.paused, b.state.paused], [false, false]);
  fair.spent(a.one, 2);
  assert.deepEqual([a.state.paused, b.state.paused], [true, false]);
  fair.spent(b.one, 1);
  assert.deepEqual([a.state.paused, b.state.paused], [true, true]);
  turn();
  assert.deepEqual([a.state.paused, b.state.paused], [false, true]);
  turn();
  assert.deepEqual([a.state.paused, b.state.paused], [false, false]);
});

void test('one that joins a group held back is held back as well', () => {
  const { fair, reader } = readers();
  const [flood, honest] = [reader('a'), reader('b')];
  fair.spent(honest.one, 1);
  fair.spent(flood.one, 30);
  const another = reader('a');
  assert.equal(another.state.paused, true);
  another.leave();
});

void test('one alone is held back for no longer than until all sockets were looked at', () => {
  const { fair, reader, pass, turn } = readers();
  const only = reader('a');
  for (let count = 0; count < 100; count++) {
    fair.spent(only.one, 15);
    assert.equal(only.state.paused, false);
    fair.spent(only.one, 15);
    assert.equal(only.state.paused, true);
    turn();
    assert.equal(only.state.paused, false);
    pass(30);
    assert.equal(only.state.paused, false);
  }
});
