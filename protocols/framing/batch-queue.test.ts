import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchQueue } from './batch-queue.ts';

async function collect<T>(queue: BatchQueue<T>): Promise<T[][]> {
  const batches: T[][] = [];
  for await (const batch of queue) batches.push(batch);
  return batches;
}

void test('what is pushed in one turn is one batch', async () => {
  const queue = new BatchQueue<number>();
  const batches = queue[Symbol.asyncIterator]();
  const first = batches.next();
  queue.push(1);
  queue.push(2);
  assert.deepEqual((await first).value, [1, 2]);
  assert.equal(queue.size, 0);
  queue.push(3);
  assert.equal(queue.size, 1);
  assert.deepEqual((await batches.next()).value, [3]);
});

void test('what gathers while the reader is busy is one batch', async () => {
  const queue = new BatchQueue<number>();
  queue.push(0);
  const batches: number[][] = [];
  for await (const batch of queue) {
    batches.push(batch);
    if (batches.length === 1) for (let i = 1; i <= 1000; i++) queue.push(i);
    else queue.end();
  }
  assert.deepEqual(
    batches.map(({ length }) => length),
    [1, 1000],
  );
});

void test('the end comes after what is queued, and nothing after the end', async () => {
  const queue = new BatchQueue<number>();
  queue.push(1);
  queue.end();
  queue.push(2);
  assert.equal(queue.size, 1);
  assert.deepEqual(await collect(queue), [[1]]);
  assert.deepEqual(await collect(queue), []);
});

void test('the end wakes a waiting reader', async () => {
  const queue = new BatchQueue<number>();
  const collected = collect(queue);
  await Promise.resolve();
  queue.end();
  assert.deepEqual(await collected, []);
});

void test('an error comes at once, and the first one stays', async () => {
  const queue = new BatchQueue<number>();
  queue.push(1);
  queue.end(new Error('broken'));
  queue.end(new Error('later'));
  await assert.rejects(collect(queue), { message: 'broken' });
});

void test('an error after a quiet end still reaches who has not finished', async () => {
  const queue = new BatchQueue<number>();
  queue.push(1);
  queue.end();
  queue.end(new Error('broken'));
  await assert.rejects(collect(queue), { message: 'broken' });
});
