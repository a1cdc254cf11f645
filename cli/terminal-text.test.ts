import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { excerpt, safeLine, safeText } from './terminal-text.ts';

const table: [string, string][] = [
  ['ada', 'ada'],
  ['Zoë 😀 👩‍👩‍👧', 'Zoë 😀 👩‍👩‍👧'],
  ['\u001b[2J\u001b]52;c;aGk=\u0007', '\\x1b[2J\\x1b]52;c;aGk=\\x07'],
  ['a\nb\rc\td', 'a\\x0ab\\x0dc\\x09d'],
  ['\u009b31m', '\\x9b31m'],
  ['\u007f\u0000', '\\x7f\\x00'],
  ['adm\u202enimda', 'adm\\u202enimda'],
  ['\u2066x\u2069', '\\u2066x\\u2069'],
  ['a\u2028b', 'a\\u2028b'],
  ['\ud800x', '\\ud800x'],
  ['x\udc00', 'x\\udc00'],
];

for (const [text, shown] of table) {
  void test(`${JSON.stringify(text)} is shown as ${JSON.stringify(shown)}`, () => {
    assert.equal(safeLine(text), shown);
  });
}

void test('a message keeps its lines, indented, and nothing else that moves the cursor', () => {
  assert.equal(safeText('a\r\nb\rc\n\td\u001b[A\u2028e', '  '), 'a\n  b\n  c\n      d\\x1b[A\n  e');
});

void test('an excerpt is one line of at most so many characters', () => {
  assert.equal(excerpt('one\ntwo', 20), 'one two');
  assert.equal(excerpt('😀😀😀😀', 3), '😀😀…');
});

void test('no text brings a control character through', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(safeLine(text), /\p{Cc}/u);
      assert.doesNotMatch(safeText(text), /[^\P{Cc}\n]/u);
    }),
  );
});
