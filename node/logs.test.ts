import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { partLog } from './logs.ts';

void test('a part logs in words, at the levels it says', () => {
  const lines: { level: number; part: string; msg: string }[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line));
  const log = partLog(pino({ level: 'debug', base: null }, { write }), 'reach');
  log('%p by %a: %d of %s', { toString: () => '12D3' }, { toString: () => '/ip4' }, 5, 'ten');
  log.error('it broke: %e', new Error('no route'));
  log.error(new Error('alone'));
  log.trace('unseen');
  log.newScope('dial')('deeper');
  assert.deepEqual(
    lines.map(({ level, part, msg }) => [level, part, msg.split('\n')[0]]),
    [
      [20, 'reach', '12D3 by /ip4: 5 of ten'],
      [50, 'reach', 'it broke: Error: no route'],
      [50, 'reach', 'Error: alone'],
      [20, 'reach:dial', 'deeper'],
    ],
  );
});

void test('nothing is put together that is not written', () => {
  const log = partLog(pino({ level: 'info', base: null }, { write: () => assert.fail('written') }), 'reach');
  log('%s', {
    toString: () => assert.fail('formatted'),
  });
  assert.equal(log.enabled, false);
});
