import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inTurn } from './in-turn.ts';

void test('of one key one at a time, also after a failure; others do not wait', async () => {
  const turn = inTurn();
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const failing = turn('a', async () => {
    order.push('first');
    await first.promise;
    throw new Error('no');
  });
  const second = turn('a', async () => {
    order.push('second');
    return 2;
  });
  await turn('b', async () => void order.push('other'));
  assert.deepEqual(order, ['first', 'other']);
  first.resolve();
  await assert.rejects(failing, { message: 'no' });
  assert.equal(await second, 2);
  assert.deepEqual(order, ['first', 'other', 'second']);
});
