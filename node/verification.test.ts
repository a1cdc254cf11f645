import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSafetyCode } from '../protocols/contact-card/safety-number.ts';
import { person } from './phonebook-fixture.ts';
import { testStore } from './store/store-fixture.ts';
import { codeAbout, compareCode, numberOf, verifications } from './verification.ts';

const [ada, ben, eve] = (await Promise.all([person(), person(), person()])).map(({ peerId }) => peerId) as [
  string,
  string,
  string,
];
const here = { self: ada, peer: ben, who: 'ben' };

void test('what the other screen shows matches, as code and as digits', () => {
  assert.equal(numberOf(ada, ben), numberOf(ben, ada));
  for (const text of [codeAbout(ada, ben), ` ${codeAbout(ada, ben)}\n`, numberOf(ben, ada)])
    assert.equal(compareCode(text, here).result, 'match', text);
});

void test('somebody in between shows on both sides; the own screen is told from theirs', () => {
  const compare = (shownBy: string, about: string) => compareCode(formatSafetyCode({ shownBy, about }), here);
  // Ben has another key for Ada, or Ada has another one for Ben.
  assert.equal(compare(ben, eve).result, 'mismatch');
  assert.match(compare(ben, eve).detail, new RegExp(`about ${eve}`));
  assert.equal(compare(eve, ada).result, 'mismatch');
  assert.match(compare(eve, ada).detail, new RegExp(`shown by ${eve}`));
  assert.equal(compare(ada, ben).result, 'own');
  assert.equal(compareCode(numberOf(ada, eve), here).result, 'mismatch');
  for (const text of ['rubbish', '1'.repeat(59), codeAbout(ada, ben).replace(':1/', ':7/')])
    assert.throws(() => compareCode(text, here), { name: 'ControlError', code: 'invalid', field: 'code' });
});

void test('a mark is there after a restart, and is of one key only', async (t) => {
  const store = testStore();
  t.after(() => store.close());
  const first = await verifications(store.client);
  await first.mark(ben, 17);
  const second = await verifications(store.client);
  assert.deepEqual([second.markedMs(ben), second.markedMs(eve)], [17, null]);
  await second.mark(ben, null);
  assert.equal((await verifications(store.client)).markedMs(ben), null);
});
