import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageView } from '../../../protocols/control/contract.ts';
import { Ledger, readTag, tagText } from './ledger.ts';

const tag = (number: number) => ({ from: 'ada', to: 'ben', number });

function message(number: number, change: Partial<MessageView> = {}): MessageView {
  return {
    id: `id-${number}`,
    from: 'ada',
    fromName: null,
    to: 'ben',
    toName: null,
    text: tagText(tag(number)),
    sentAt: '',
    receivedAt: '',
    state: 'delivered',
    seq: number,
    missing: 0,
    failure: null,
    cursor: '',
    ...change,
  };
}

/** A ledger in which Ada was told that these were queued. */
function promised(...numbers: number[]): Ledger {
  const ledger = new Ledger();
  for (const number of numbers) {
    ledger.sends(tag(number), tagText(tag(number)));
    ledger.promised(tag(number), `id-${number}`);
  }
  return ledger;
}

void test('a tag comes back from its text, whatever stands behind it', () => {
  assert.deepEqual(readTag(tagText(tag(12))), tag(12));
  assert.deepEqual(readTag(tagText(tag(12), 'x y')), tag(12));
  assert.equal(readTag('hello'), undefined);
});

void test('nothing is broken when everything arrives once and in order', () => {
  const ledger = promised(1, 2);
  for (const state of ['queued', 'stored', 'delivered', 'read']) ledger.shows('ada', 'id-1', state);
  ledger.arrives('ben', message(1));
  ledger.arrives('ben', message(2));
  ledger.reads('ben', 'ada', [message(1), message(2)]);
  ledger.settles('ada', 'ben', [message(1, { state: 'read' }), message(2)], [message(1), message(2)]);
  assert.deepEqual(ledger.violations, []);
  assert.equal(ledger.queued, 2);
});

for (const [title, broken, says] of [
  ['a message lost by its sender', (l) => l.settles('ada', 'ben', [message(1)], [message(1)]), /has lost/],
  [
    'a message lost on its way',
    (l) => l.settles('ada', 'ben', [message(1), message(2)], [message(1)]),
    /lacks/,
  ],
  [
    'another order at the end',
    (l) => l.settles('ada', 'ben', [message(1), message(2)], [message(2), message(1)]),
    /another order/,
  ],
  [
    'a message that is never delivered',
    (l) => {
      const pair = [message(1), message(2)];
      l.settles('ada', 'ben', [message(1, { state: 'stored' }), message(2)], pair);
    },
    /still stored/,
  ],
  [
    'a state that moves back',
    (l) => {
      l.shows('ada', 'id-1', 'delivered');
      l.shows('ada', 'id-1', 'stored');
    },
    /as stored after delivered/,
  ],
  [
    'a message delivered and then failed',
    (l) => {
      l.shows('ada', 'id-1', 'delivered');
      l.shows('ada', 'id-1', 'failed');
    },
    /as failed after delivered/,
  ],
  [
    'a message told of twice',
    (l) => {
      l.arrives('ben', message(1));
      l.arrives('ben', message(1));
    },
    /told twice/,
  ],
  ['a message that nobody sent', (l) => l.arrives('ben', message(3)), /nobody sent/],
  [
    'a message with another text',
    (l) => l.arrives('ben', message(1, { text: 'ada to ben 1 more' })),
    /nobody sent/,
  ],
  ['a message shown to somebody else', (l) => l.arrives('cyd', message(1)), /nobody sent/],
  ['a page out of order', (l) => l.reads('ben', 'ada', [message(2), message(1)]), /out of order/],
  ['a page with a message twice', (l) => l.reads('ben', 'ada', [message(1), message(1)]), /twice/],
  ['a gap without a word', (l) => l.reads('ben', 'ada', [message(1), message(2, { seq: 3 })]), /gap/],
  [
    'a gap that is never filled',
    (l) => {
      const pair = [message(1), message(2, { missing: 1 })];
      l.settles('ada', 'ben', [message(1), message(2)], pair);
    },
    /still told/,
  ],
] as [string, (ledger: Ledger) => void, RegExp][]) {
  void test(`noticed: ${title}`, () => {
    const ledger = promised(1, 2);
    broken(ledger);
    assert.match(ledger.violations.join('\n'), says);
  });
}

void test('what its sender was told was not sent must not arrive', () => {
  const ledger = new Ledger();
  ledger.sends(tag(1), tagText(tag(1)));
  ledger.refused(tag(1));
  ledger.arrives('ben', message(1));
  assert.match(ledger.violations.join(), /not sent/);
});

void test('of a message that nobody knows whether it was sent, both ends are right, but only once', () => {
  const ledger = new Ledger();
  ledger.sends(tag(1), tagText(tag(1)));
  ledger.settles('ada', 'ben', [], []);
  ledger.settles('ada', 'ben', [message(1)], [message(1)]);
  assert.deepEqual(ledger.violations, []);
});
