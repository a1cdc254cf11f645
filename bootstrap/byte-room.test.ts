import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteRoom } from './byte-room.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

void test('one address waits for its own room, all wait for that of all, and nobody else does', async (t) => {
  const { signal } = t;
  const room = byteRoom({ total: 10, perAddress: 4 });
  const got: string[] = [];
  const take = async (group: string, bytes: number): Promise<() => void> => {
    const giveBack = await room.take(group, bytes, { signal });
    got.push(group);
    return giveBack;
  };
  // Somebody else was here a moment ago.
  (await take('z', 1))();
  got.length = 0;
  const first = await take('a', 4);
  const second = take('a', 1);
  const others = await Promise.all([take('b', 3), take('c', 3)]);
  await turn();
  assert.deepEqual(got, ['a', 'b', 'c']);
  const last = take('d', 1);
  await turn();
  assert.deepEqual(got, ['a', 'b', 'c']);
  first();
  await Promise.all([second, last]);
  assert.deepEqual(got, ['a', 'b', 'c', 'a', 'd']);
  for (const giveBack of others) giveBack();
  // More than there is room for goes alone.
  (await second)();
  (await last)();
  (await take('a', 50))();
});

void test('who has left waits no more', async () => {
  const stop = new AbortController();
  const room = byteRoom({ total: 2, perAddress: 2 });
  const giveBack = await room.take('a', 2, stop);
  const waiting = room.take('b', 1, stop);
  stop.abort(new Error('gone'));
  await assert.rejects(waiting, { message: 'gone' });
  await assert.rejects(room.take('b', 1, stop), { message: 'gone' });
  giveBack();
  (await room.take('b', 2, { signal: new AbortController().signal }))();
});

void test('one address alone may have all the room, and who has least gets in first', async (t) => {
  const clock = { nowMs: 0 };
  const { signal } = t;
  const room = byteRoom({ total: 10, perAddress: 4 }, { nowMs: () => clock.nowMs });
  const alone = await Promise.all([room.take('a', 4, { signal }), room.take('a', 4, { signal })]);
  const got: string[] = [];
  const take = async (group: string, bytes: number): Promise<void> => {
    await room.take(group, bytes, { signal });
    got.push(group);
  };
  const waiting = [take('a', 4), take('b', 3)];
  await turn();
  assert.deepEqual(got, []);
  alone[0]();
  await waiting[1];
  assert.deepEqual(got, ['b']);
  alone[1]();
  await waiting[0];
  clock.nowMs = 2_000;
  await take('b', 3);
});
