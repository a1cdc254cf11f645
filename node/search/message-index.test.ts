import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openMessageIndex } from './message-index.ts';
import { wordsOf } from './words.ts';

/** Finds in these texts, and answers with those found, the newest first. */
function findIn(texts: readonly string[], query: string): string[] {
  using index = openMessageIndex();
  index.add(texts.map((text, at) => ({ row: at + 1, peer: 'ann', text })));
  return index.find({ words: wordsOf(query), limit: 100 }).map((row) => texts[row - 1]!);
}

void test('every word has to be there, or a word that begins with it', () => {
  const texts = ['the swan flies', 'a swan and a duck', 'swans fly', 'a duck'];
  assert.deepEqual(findIn(texts, 'swan'), ['swans fly', 'a swan and a duck', 'the swan flies']);
  assert.deepEqual(findIn(texts, 'duck SWAN'), ['a swan and a duck']);
  assert.deepEqual(findIn(texts, 'wan'), []);
  assert.deepEqual(findIn(texts, '!!'), []);
  assert.deepEqual(findIn(texts, 'a s'), []);
  assert.deepEqual(findIn(['plan b', 'best plan'], 'B pl'), ['plan b']);
});

for (const [query, text] of [
  ['cafe', 'Café'],
  ['CAFÉ', 'cafe\u0301'],
  ['привет', 'Привет'],
  ['京に', '東京に行く'],
  ['대학', '대학교에'],
  ['ไทย', 'ภาษาไทยง่าย'],
  ['हिन्दी', 'हिन्दी में'],
  ['🎉', 'party🎉time'],
  ['❤', '❤️'],
  ['abc', 'ＡＢＣ'],
  ["don't", "I don't"],
  ['a.b@c.d', 'write to a.b@c.de'],
  ['y', 'x\0y'],
] as const) {
  void test(`${JSON.stringify(query)} finds ${JSON.stringify(text)}`, () => {
    assert.deepEqual(findIn(['other', text], query), [text]);
  });
}

void test('characters stand together as in the query', () => {
  assert.deepEqual(findIn(['東京に行く', '京の東'], '東京'), ['東京に行く']);
  assert.deepEqual(findIn(['a b c', 'a-c', 'b.a'], 'a-c'), ['a-c']);
});

void test('other conversations and later rows are left out', () => {
  using index = openMessageIndex();
  index.add([
    { row: 1, peer: 'ann', text: 'one swan' },
    { row: 2, peer: 'ben', text: 'two swans' },
  ]);
  index.add([{ row: 7, peer: 'ann', text: 'three swans p0' }]);
  const find = (more: object): number[] => index.find({ words: ['swan'], limit: 10, ...more });
  assert.deepEqual(find({}), [7, 2, 1]);
  assert.deepEqual(find({ peer: 'ann' }), [7, 1]);
  assert.deepEqual(find({ peer: 'nobody' }), []);
  assert.deepEqual(find({ before: 7 }), [2, 1]);
  assert.deepEqual(find({ limit: 1 }), [7]);
  // What stands for a person is no word of a message.
  assert.deepEqual(index.find({ words: ['p1'], limit: 10 }), []);
});

const SYNTAX = [
  '"',
  "'",
  '*',
  '(',
  ')',
  ':',
  '^',
  '-',
  '+',
  '{',
  '}',
  'AND',
  'OR',
  'NOT',
  'NEAR',
  'text',
  '\0',
  ' ',
];

void test('no query is syntax: whatever it is, it only finds what has its letters', () => {
  const piece = fc.oneof(fc.constantFrom(...SYNTAX), fc.string({ unit: 'binary', maxLength: 5 }));
  const query = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  using index = openMessageIndex();
  index.add([{ row: 1, peer: 'ann', text: 'zebra' }]);
  fc.assert(
    fc.property(query, (query) => {
      const words = wordsOf(query);
      const rows = index.find({ words, limit: 10 });
      if (rows.length > 0) assert.match(words.join(' '), /z/i);
    }),
  );
});

void test('what is found is what has the words, of any text', () => {
  const letters = fc.constantFrom('a', 'b', 'É', 'e\u0301', 'ß', 'ж', '東', '京', '🎉', ' ', ' ', '-', '"');
  const text = fc.string({ unit: letters, minLength: 1, maxLength: 12 });
  const folded = (text: string): string =>
    text
      .normalize('NFKD')
      .replace(/[\u0300-\u036f]/g, '')
      .toLowerCase();
  /** The words of a text, by other means than the index has. */
  const cut = (text: string): string[] => folded(text).match(/[東京🎉]|[abeßж]+/gu) ?? [];
  const has = (text: string, query: string): boolean => {
    const found = cut(text);
    const wanted = cut(query);
    return found.some((_, at) =>
      wanted.every((word, index) => {
        const other = found[at + index];
        return index === wanted.length - 1 && !/^[ab]$/.test(query)
          ? other?.startsWith(word)
          : other === word;
      }),
    );
  };
  fc.assert(
    fc.property(fc.array(text, { maxLength: 8 }), text, (texts, query) => {
      const words = wordsOf(query);
      const expected = words.length === 0 ? [] : texts.filter((it) => words.every((word) => has(it, word)));
      assert.deepEqual(findIn(texts, query), expected.toReversed());
    }),
  );
});
