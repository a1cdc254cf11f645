import assert from 'node:assert/strict';
import { test } from 'node:test';
import { warningList } from './warnings.ts';

void test('a warning is told once, listed once, and the newest twenty stay', () => {
  const told: string[] = [];
  const warnings = warningList((message) => told.push(message));
  warnings.add('a');
  warnings.add('b');
  warnings.add('a');
  assert.deepEqual(told, ['a', 'b']);
  assert.deepEqual(warnings.list, ['b', 'a']);
  for (let n = 0; n < 100; n++) warnings.add(`n${n}`);
  assert.equal(warnings.list.length, 20);
  assert.equal(warnings.list.at(-1), 'n99');
});
