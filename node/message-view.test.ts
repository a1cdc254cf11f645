import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatCursor, messageView, parseCursor } from './message-view.ts';

const positions = fc.record(
  {
    clockMs: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    clockCount: fc.nat({ max: 2 ** 32 - 1 }),
    row: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  },
  { noNullPrototype: true },
);

void test('a cursor leads back to its place', () => {
  fc.assert(
    fc.property(positions, (position) => assert.deepEqual(parseCursor(formatCursor(position)), position)),
  );
});

void test('any other text is no cursor', () => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^[\d.-]{0,50}$/));
  fc.assert(
    fc.property(texts, (text) => {
      const position = parseCursor(text);
      if (position !== undefined) assert.ok(Object.values(position).every(Number.isSafeInteger));
    }),
  );
  for (const text of [
    '',
    '1.2',
    '1.2.3.4',
    '-1.2.3',
    '1e3.0.0',
    '9999999999999999.0.1',
    '1.0.9999999999999999',
    '1.2.3\n',
  ])
    assert.equal(parseCursor(text), undefined, text);
});

const stored = {
  row: 7,
  id: 'x',
  peer: 'them',
  text: 'hi',
  sentAtMs: 1000,
  receivedAtMs: 2000,
  counter: 3,
  missing: 0,
  failure: null,
  clockMs: 1000,
  clockCount: 0,
};
const names = {
  self: 'us',
  ownName: () => 'ada',
  nameOf: (peer: string) => (peer === 'them' ? 'ben' : null),
};

void test('who wrote to whom is told from our side', () => {
  const incoming = messageView({ ...stored, outgoing: false, state: 'unread' }, names);
  assert.deepEqual(
    [incoming.from, incoming.fromName, incoming.to, incoming.toName, incoming.receivedAt],
    ['them', 'ben', 'us', 'ada', '1970-01-01T00:00:02.000Z'],
  );
  const outgoing = messageView({ ...stored, outgoing: true, state: 'queued' }, names);
  assert.deepEqual(
    [outgoing.from, outgoing.fromName, outgoing.to, outgoing.toName, outgoing.receivedAt],
    ['us', 'ada', 'them', 'ben', null],
  );
});
