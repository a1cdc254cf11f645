import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InvalidNameError, MAX_NAME_CODE_POINTS, normaliseName } from './name.ts';
import type { InvalidNameReason } from './name.ts';

const ACCEPTED: [input: string, normalised: string][] = [
  ['bob', 'bob'],
  ['Bob', 'bob'],
  ['a', 'a'],
  ['7', '7'],
  ['anna.k-2_x', 'anna.k-2_x'],
  ['x'.repeat(32), 'x'.repeat(32)],
  ['Straße', 'strasse'],
  ['STRAẞE', 'strasse'],
  ['ΟΔΟΣ', 'οδοσ'],
  ['οδος', 'οδοσ'],
  ['İstanbul', 'istanbul'],
  ['café', 'café'],
  ['Иван', 'иван'],
  ['ひらがなカタカナ漢字', 'ひらがなカタカナ漢字'],
  ['ラーメン', 'ラーメン'],
  ['한국漢字', '한국漢字'],
  ['हिन्दी', 'हिन्दी'],
  ['ไทย', 'ไทย'],
  ['سلام', 'سلام'],
  ['سلام۱۲', 'سلام۱۲'],
  ['qmail', 'qmail'],
  ['tincan', 'tincan'],
  ['🄱ob'.normalize('NFKC'), 'bob'],
];

const REFUSED: [input: string, reason: InvalidNameReason][] = [
  ['', 'empty'],
  ['x'.repeat(33), 'too-long'],
  ['ß'.repeat(17), 'too-long'],
  ['x'.repeat(1_000_000), 'too-long'],
  ['ｂｏｂ', 'not-normalised'],
  ['cafe\u0301', 'not-normalised'],
  ['ﬁn', 'not-normalised'],
  ['bob smith', 'invalid-character'],
  ['bob\n', 'invalid-character'],
  ['bob\u200d', 'invalid-character'],
  ['bob\u202e', 'invalid-character'],
  ['한\u115f', 'invalid-character'],
  ['a\ufe0f', 'invalid-character'],
  ['bob/..', 'invalid-character'],
  ["o'brien", 'invalid-character'],
  ['a\u02d0b', 'invalid-character'],
  ['😀', 'invalid-character'],
  ['\ud800', 'invalid-character'],
  ['x\u0325\u0325', 'invalid-character'],
  ['.bob', 'invalid-start'],
  ['-rf', 'invalid-start'],
  ['_', 'invalid-start'],
  ['\u0302a', 'invalid-start'],
  ['pаypal', 'mixed-scripts'],
  ['bobひ', 'mixed-scripts'],
  ['ひ한', 'mixed-scripts'],
  ['س1۱', 'mixed-digits'],
  ['12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', 'peer-id'],
  ['12d3koowx', 'peer-id'],
  ['QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', 'peer-id'],
  ['QmYyQSo1', 'peer-id'],
  ['tincan:12D3KooW', 'invite'],
  ['TINCAN:x', 'invite'],
];

for (const [input, normalised] of ACCEPTED) {
  void test(`"${input}" is the name "${normalised}"`, () => {
    assert.equal(normaliseName(input), normalised);
    assert.equal(normaliseName(normalised), normalised);
  });
}

for (const [input, reason] of REFUSED) {
  void test(`${JSON.stringify(input.slice(0, 60))} is refused: ${reason}`, () => {
    assert.throws(
      () => normaliseName(input),
      (error: unknown) => {
        assert.ok(error instanceof InvalidNameError);
        assert.equal(error.reason, reason);
        assert.ok(error.message.length > 0 && error.hint.length > 0);
        return true;
      },
    );
  });
}

void test('a name that is not normalised is told its normalised form', () => {
  assert.throws(() => normaliseName('ｂｏｂ'), { hint: 'its normalised form would be "bob"' });
});

void test('the scripts that are mixed are named', () => {
  assert.throws(() => normaliseName('pаypal'), {
    message: 'the name mixes scripts: Latin ("p", U+0070) and Cyrillic ("а", U+0430)',
  });
});

void test('whatever is accepted is stable, short, and folds to itself in upper case', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({
      unit: fc.integer({ min: 0x30, max: 0x2fff }).map((code) => String.fromCodePoint(code)),
      maxLength: 6,
    }),
    fc.string({ unit: fc.constantFrom(...Array.from('aZß9.-_İıΣςσҐ一ひカー한\u0307\u0301')), maxLength: 40 }),
  );
  let accepted = 0;
  fc.assert(
    fc.property(anything, (input) => {
      let name: string;
      try {
        name = normaliseName(input);
      } catch (error) {
        assert.ok(error instanceof InvalidNameError);
        return;
      }
      accepted++;
      assert.equal(normaliseName(name), name);
      assert.equal(name.normalize('NFKC'), name);
      assert.ok(Array.from(name).length <= MAX_NAME_CODE_POINTS);
    }),
    { numRuns: 5000 },
  );
  assert.ok(accepted > 100);
});

void test('every letter that has a case folds to what folds to itself', () => {
  for (let code = 0; code <= 0x10ffff; code++) {
    const letter = String.fromCodePoint(code);
    if (letter.toLowerCase() === letter && letter.toUpperCase() === letter) continue;
    let name: string;
    try {
      name = normaliseName(letter);
    } catch (error) {
      assert.ok(error instanceof InvalidNameError);
      continue;
    }
    assert.equal(normaliseName(name), name);
  }
});

void test('upper and lower case are one name', () => {
  const letters = fc.string({
    unit: fc.constantFrom(...Array.from('abcxyzäöüßéñ')),
    minLength: 1,
    maxLength: 16,
  });
  fc.assert(
    fc.property(letters, (name) => {
      assert.equal(normaliseName(name.toUpperCase()), normaliseName(name));
    }),
  );
});

void test('a name that can be none takes no time to refuse, whatever its characters belong to', () => {
  // Of two scripts, and of three: tried in every combination, these took minutes and years.
  for (const character of ['\u30fc', '\u303c']) {
    const { user: before } = process.cpuUsage();
    assert.throws(() => normaliseName(`${character.repeat(MAX_NAME_CODE_POINTS - 1)}a`), {
      name: 'InvalidNameError',
      reason: 'mixed-scripts',
    });
    assert.ok(process.cpuUsage().user - before < 1_000_000);
  }
});
