import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routerRules } from './router-rules.ts';

const rulesOf = (text: string): string[] => text.match(/^\s+ip .*$/gm)?.map((line) => line.trim()) ?? [];

void test('partitions come first, then loss, then what is doubled', () => {
  const text = routerRules(
    [{ from: '10.90.1.2', to: '10.90.2.2' }],
    [{ address: '10.90.1.2', lost: 0.05, doubled: 0.001 }],
  );
  assert.deepEqual(rulesOf(text), [
    'ip saddr 10.90.1.2 ip daddr 10.90.2.2 drop',
    'ip saddr 10.90.1.2 numgen random mod 10000 < 500 drop',
    'ip saddr 10.90.1.2 numgen random mod 10000 < 10 dup to ip daddr',
    'ip daddr 10.90.1.2 numgen random mod 10000 < 500 drop',
    'ip daddr 10.90.1.2 numgen random mod 10000 < 10 dup to ip daddr',
  ]);
});

void test('fair weather is no rules', () => {
  assert.deepEqual(rulesOf(routerRules([], [{ address: '10.90.1.2', lost: 0, doubled: 0 }])), []);
});
