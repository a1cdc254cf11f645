import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSocketPath } from './daemon-address.ts';

void test('where the daemon is', () => {
  assert.equal(
    readSocketPath('{"pid":1,"socket":"/tmp/control.sock","http":"http://[::1]:1"}\n'),
    '/tmp/control.sock',
  );
});

void test('a file that is damaged is as one that is not there', () => {
  for (const text of ['', '{"pid":1,"soc', 'null', '[]', '1', '{"socket":7}', '{"socket":""}']) {
    assert.throws(
      () => readSocketPath(text),
      { name: 'DaemonUnreachableError', mayHaveArrived: false },
      text,
    );
  }
});
