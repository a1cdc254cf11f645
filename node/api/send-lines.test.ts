import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SendLine } from '../../protocols/control/contract.ts';
import { MAX_TEXT_BYTES, MESSAGE_STATES } from '../../protocols/control/routes.ts';
import { LineSplitter, parseSendLine, stateLine } from './send-lines.ts';

const ref = fc.option(
  fc.oneof(fc.string({ unit: 'grapheme' }), fc.double({ noNaN: true, noDefaultInfinity: true })),
  {
    nil: undefined,
  },
);

void test('whatever the chunks, the lines are the same', () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(12)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
      const splitter = new LineSplitter(1000);
      const found: (string | undefined)[] = [];
      let at = 0;
      for (const cut of cuts) {
        found.push(...splitter.push(bytes.subarray(at, at + cut)));
        at += cut;
      }
      found.push(...splitter.push(bytes.subarray(at)), ...splitter.end());
      assert.deepEqual(found, lines);
    }),
  );
});

void test('a line that is not UTF-8 spoils no other', () => {
  const splitter = new LineSplitter(1000);
  assert.deepEqual(splitter.push(Buffer.from([0x61, 0x0a, 0xff, 0x0a, 0x62, 0x0a])), ['a', undefined, 'b']);
});

void test('a line over the limit throws, however it arrives', () => {
  const splitter = new LineSplitter(10);
  assert.deepEqual(splitter.push(Buffer.from('0123456789\n01234')), ['0123456789']);
  assert.throws(() => splitter.push(Buffer.from('567890')), { code: 'too-large' });
});

void test('the quick check accepts and refuses as the schema does', () => {
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('', 'x'.repeat(4097), 'é'.repeat(MAX_TEXT_BYTES / 2 + 1), null),
  );
  const usual = fc.record({ to: fc.string(), text: fc.string({ unit: 'grapheme' }), ref });
  const unusual = fc.record({ to: odd, text: odd, ref: odd }, { requiredKeys: [] });
  fc.assert(
    fc.property(fc.oneof(usual, unusual, odd), (value) => {
      const json = JSON.stringify(value);
      const parsed = parseSendLine(json, 1);
      const { success, data } = SendLine.safeParse(JSON.parse(json));
      assert.equal('line' in parsed, success);
      if (!('line' in parsed) || data === undefined) return;
      const { to, text, ref } = parsed.line;
      assert.deepEqual([to, text, ref], [data.to, data.text, data.ref]);
    }),
    { numRuns: 1000 },
  );
});

void test('numbers that are no JSON numbers, and refs, are as the schema has them', () => {
  assert.ok('error' in parseSendLine('{"to":"a","text":"b","ref":1e999}', 1));
  const refused = parseSendLine('{"to":"a","text":"","ref":"mine"}', 3);
  assert.ok('error' in refused && refused.ref === 'mine' && refused.error.field === 'text');
});

void test('the line of a state is what JSON.stringify gives', () => {
  fc.assert(
    fc.property(
      ref,
      fc.uuid(),
      fc.constantFrom(...MESSAGE_STATES),
      fc.option(fc.string({ unit: 'binary' })),
      (ref, id, state, failure) => {
        const to = '12D3KooWGzBq5VLxBkDbvBmGLgpN9kT8HmY8eVh3Cq1ygMdCpYEq';
        assert.equal(
          stateLine({ ref, id, to, state, failure }),
          `${JSON.stringify({ ref, id, to, state, failure: failure ?? undefined })}\n`,
        );
      },
    ),
  );
});

void test('half a surrogate pair is refused: it would reach nobody as it is', () => {
  const refused = parseSendLine('{"to":"a","text":"\\ud83e","ref":1}', 1);
  assert.ok('error' in refused && refused.ref === 1 && refused.error.field === 'text');
  assert.ok('line' in parseSendLine('{"to":"a","text":"\\ud83e\\uddea"}', 1));
});
