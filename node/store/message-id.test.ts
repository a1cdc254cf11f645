import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatMessageId, newMessageId, parseMessageId } from './message-id.ts';

test('an id is a UUID of version 7 with its time in front', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (nowMs) => {
      const text = formatMessageId(newMessageId(nowMs));
      assert.match(text, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.equal(Number.parseInt(text.slice(0, 8) + text.slice(9, 13), 16), nowMs);
    }),
  );
});

test('ids differ, also beyond one draw of randomness, and the text form leads back', () => {
  const ids = Array.from({ length: 2_000 }, () => newMessageId(1));
  assert.equal(new Set(ids.map((id) => formatMessageId(id))).size, ids.length);
  for (const id of ids) assert.deepEqual(new Uint8Array(parseMessageId(formatMessageId(id))), id);
  assert.equal(formatMessageId(Buffer.concat([ids[0]!, ids[1]!]), 16), formatMessageId(ids[1]!));
});

test('what is no id finds nothing rather than failing', () => {
  for (const junk of ['', 'no id', 'zz', '-']) assert.ok(parseMessageId(junk).byteLength < 16);
});
