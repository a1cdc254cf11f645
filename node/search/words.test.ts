import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { forIndex, matchesIn, wordsOf } from './words.ts';

const shown = (text: string, query: string): string[] =>
  matchesIn(text, wordsOf(query)).map(({ start, end }) => text.slice(start, end));

void test('a query is cut at spaces, and what has nothing to look for is passed over', () => {
  assert.deepEqual(wordsOf(" don't  e-mail\n25°C "), ["don't", 'e-mail', '25°C']);
  assert.deepEqual(wordsOf('-- "" *'), []);
  assert.deepEqual(wordsOf('🎉 東京'), ['🎉', '東京']);
});

void test('writing without spaces is set apart for the index, and Latin letters are left as they are', () => {
  assert.equal(forIndex('plain, text'), 'plain, text');
  assert.equal(forIndex('東京'), ' 東  京 ');
  assert.equal(forIndex('cafe\u0301'), 'café');
});

void test('matches are whole words, of which the query has at least the beginning', () => {
  assert.deepEqual(shown('Café, cafeteria and decaf', 'caf'), ['Café', 'cafeteria']);
  assert.deepEqual(shown('cafe\u0301 NOIR', 'café noir'), ['cafe\u0301', 'NOIR']);
  assert.deepEqual(shown("I don't know, Don't ask", "don't"), ["don't", "Don't"]);
  assert.deepEqual(shown('東京に行く', '京に'), ['京に']);
  assert.deepEqual(shown('party🎉time', '🎉'), ['🎉']);
  assert.deepEqual(shown('Plan B, best plan', 'b'), ['B']);
  assert.deepEqual(shown('nothing here', 'elsewhere'), []);
  assert.equal(matchesIn('a '.repeat(1_000), ['a']).length, 100);
});

void test('whatever the text and the query, matches lie in the text, in order and apart', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary', maxLength: 20 }),
      (text, query) => {
        let at = 0;
        for (const { start, end } of matchesIn(text, wordsOf(query))) {
          assert.ok(at <= start && start < end && end <= text.length);
          at = end;
        }
      },
    ),
  );
});
