import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import {
  formatSafetyCode,
  inGroups,
  InvalidSafetyCodeError,
  parseSafetyCode,
  safetyNumber,
} from './safety-number.ts';

async function peerOf(seed: Uint8Array): Promise<string> {
  return peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString();
}

const numbered = (byte: number): Promise<string> => peerOf(new Uint8Array(32).fill(byte));

const [one, two, three] = await Promise.all([numbered(1), numbered(2), numbered(3)]);

void test('the vectors of the README', () => {
  const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
  const [, block = ''] = /^```text safety-numbers\n(.*?)^```$/ms.exec(readme) ?? [];
  const vectors = block
    .trimEnd()
    .split('\n\n')
    .map((vector) => vector.split('\n'));
  assert.equal(vectors.length, 3);
  for (const [a, b, ...digits] of vectors) {
    assert.equal(inGroups(safetyNumber(a!, b!)), digits.join(' '));
    assert.equal(safetyNumber(b!, a!), digits.join('').replaceAll(' ', ''));
  }
  assert.deepEqual(
    vectors.map(([a, b]) => [a, b]),
    [
      [one, two],
      [one, three],
      [two, three],
    ],
  );
  assert.ok(readme.includes(`\`${formatSafetyCode({ shownBy: one, about: two })}\``));
});

void test('both sides see the same number, and each half is of one of them', () => {
  const number = safetyNumber(one, two);
  assert.match(number, /^\d{60}$/);
  assert.equal(safetyNumber(two, one), number);
  assert.match(inGroups(number), /^(\d{5} ){11}\d{5}$/);
  const halves = (a: string, b: string): string[] => {
    const digits = safetyNumber(a, b);
    return [digits.slice(0, 30), digits.slice(30)];
  };
  const shared = halves(one, two).filter((half) => halves(one, three).includes(half));
  assert.equal(shared.length, 1);
});

void test('what is no pair of Ed25519 peer ids has no number', () => {
  for (const [a, b] of [
    [one, one],
    [one, ''],
    [one, two.slice(1)],
    [one, `${two} `],
    ['QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', two],
  ] as const)
    assert.throws(() => safetyNumber(a, b), TypeError);
});

void test('a code comes back as it went; digits are taken with any blanks', () => {
  const code = { shownBy: one, about: two };
  assert.deepEqual(parseSafetyCode(formatSafetyCode(code)), code);
  assert.deepEqual(parseSafetyCode(`  ${formatSafetyCode(code)}\n`), code);
  const digits = safetyNumber(one, two);
  assert.deepEqual(parseSafetyCode(inGroups(digits)), { digits });
  assert.deepEqual(parseSafetyCode(inGroups(digits).replaceAll(' ', '\n ')), { digits });
});

void test('anything else is refused, and says why', () => {
  const code = formatSafetyCode({ shownBy: one, about: two });
  for (const text of [
    '',
    code.slice(0, -1),
    `${code}1`,
    code.toUpperCase(),
    `${code}/`,
    formatSafetyCode({ shownBy: one, about: one }),
    `tincan:${one}`,
    '1'.repeat(59),
    '1'.repeat(61),
    ' '.repeat(500),
  ])
    assert.throws(() => parseSafetyCode(text), { name: 'InvalidSafetyCodeError', code: 'malformed' });
  assert.throws(() => parseSafetyCode(code.replace(':1/', ':2/')), { code: 'other-version' });
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseSafetyCode(text);
      } catch (error) {
        assert.ok(error instanceof InvalidSafetyCodeError);
      }
    }),
  );
});
