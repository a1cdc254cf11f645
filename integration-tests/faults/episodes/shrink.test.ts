import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shrink } from './shrink.ts';

const always = (): boolean => true;

void test('what does not matter is left out, and the order is kept', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(), { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 4 }),
      async (list, picks) => {
        const culprits = new Set(list.length === 0 ? [] : picks.map((pick) => list[pick % list.length]!));
        const fails = async (part: readonly number[]): Promise<boolean> =>
          [...culprits].every((culprit) => part.includes(culprit));
        assert.deepEqual(
          await shrink(list, fails, always),
          list.filter((item) => culprits.has(item)),
        );
      },
    ),
  );
});

void test('it ends when it is told to, with something that fails', async () => {
  let looks = 0;
  const list = Array.from({ length: 64 }, (_, index) => index);
  const short = await shrink(
    list,
    async (part) => part.includes(40),
    () => ++looks <= 3,
  );
  assert.ok(short.includes(40));
  assert.ok(short.length < list.length);
});
