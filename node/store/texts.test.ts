import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStore } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW = 1_800_000_000_000;

function storeWith(texts: readonly string[]): TestStore {
  const store = testStore();
  store.operations['messages.send']({
    items: texts.map((text, at) => ({ peer: at % 2 === 0 ? 'ann' : 'bob', text })),
    nowMs: NOW,
  });
  return store;
}

void test('texts are read row by row, with whom they were written to', () => {
  const store = storeWith(['one', 'two', 'three']);
  const read = store.operations['texts.read'];
  assert.deepEqual(read({ after: 0, upTo: 2 }), {
    texts: [
      { row: 1, peer: 'ann', text: 'one' },
      { row: 2, peer: 'bob', text: 'two' },
    ],
    readTo: 2,
    newestRow: 3,
  });
  assert.deepEqual(read({ after: 2, upTo: 100 }).readTo, 3);
  assert.deepEqual(read({ after: 3, upTo: 100 }), { texts: [], readTo: 3, newestRow: 3 });
  store.close();
});

void test('a page of long texts ends early, and nothing is passed over', () => {
  const store = storeWith(Array.from({ length: 20 }, (_, at) => String(at).repeat(20_000)));
  const rows: number[] = [];
  let pages = 0;
  for (let after = 0; after < 20; pages++) {
    const { texts, readTo } = store.operations['texts.read']({ after, upTo: after + 256 });
    rows.push(...texts.map(({ row }) => row));
    after = readTo;
  }
  assert.deepEqual(
    rows,
    Array.from({ length: 20 }, (_, at) => at + 1),
  );
  assert.ok(pages > 1);
  store.close();
});

void test('a text that can not be read hides no other', () => {
  const store = storeWith(['one', 'two', 'three', 'four']);
  store.database.exec("UPDATE messages SET body = x'00' WHERE row IN (2, 3)");
  const { texts, readTo } = store.operations['texts.read']({ after: 0, upTo: 100 });
  assert.deepEqual(
    texts.map(({ text }) => text),
    ['one', 'four'],
  );
  assert.equal(readTo, 4);
  assert.deepEqual(
    store.operations['history.rows']({ rows: [4, 3, 1, 9] }).map(({ text }) => text),
    ['four', 'one'],
  );
  store.close();
});
