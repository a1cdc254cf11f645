import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FaultKind } from './kind.ts';
import { drawSchedule, victimsOf } from './schedule.ts';

const play = async (): Promise<void> => {};

const KINDS: FaultKind[] = [
  { name: 'strike', draw: (random, victims) => ({ victim: victims[0], forMs: random() * 100 }), play },
  { name: 'stall', needs: 'proxies', draw: (random) => ({ forMs: random() }), play },
];

void test('a seed gives the same schedule again, whatever the order in which kinds were found', () => {
  for (let seed = 0; seed < 100; seed++) {
    const options = { durationMs: 10_000, rate: 0.7 };
    const schedule = drawSchedule(seed, { ...options, kinds: KINDS });
    assert.deepEqual(schedule, drawSchedule(seed, { ...options, kinds: KINDS.toReversed() }));
    assert.deepEqual(JSON.parse(JSON.stringify(schedule)), schedule);
    assert.equal(schedule.strikes.length, 7);
  }
});

void test('a kind is drawn only where it has what it needs', () => {
  const networks = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const { network, strikes } = drawSchedule(seed, { kinds: KINDS, durationMs: 10_000, rate: 1 });
    networks.add(network);
    if (network !== 'proxies') assert.ok(strikes.every(({ kind }) => kind === 'strike'));
  }
  assert.deepEqual([...networks].toSorted(), ['lab', 'plain', 'proxies']);
});

void test('the victims of a strike are found wherever they are named', () => {
  const strike = { atMs: 0, kind: 'x', params: { between: ['ada', 'ben'], text: 'cyd and others', n: null } };
  assert.deepEqual(victimsOf(strike), ['ada', 'ben']);
});
