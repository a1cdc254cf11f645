import assert from 'node:assert/strict';
import { argon2Sync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ARGON2_COST,
  decodeDataKey,
  encodeDataKey,
  kindOf,
  MAX_KEY_FILE_BYTES,
  newDataKey,
} from './data-key.ts';

/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const PASSPHRASE = 'correct horse battery';

test('Argon2id is the one of RFC 9106, section 5.3', () => {
  const tag = argon2Sync('argon2id', {
    message: Buffer.alloc(32, 1),
    nonce: Buffer.alloc(16, 2),
    secret: Buffer.alloc(8, 3),
    associatedData: Buffer.alloc(12, 4),
    parallelism: 4,
    tagLength: 32,
    memory: 32,
    passes: 3,
  });
  assert.equal(tag.toString('hex'), '0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659');
});

test('a wrapped key comes back with its passphrase, and with no other', () => {
  const dataKey = newDataKey();
  const file = encodeDataKey(dataKey, PASSPHRASE, CHEAP);
  assert.ok(file.byteLength <= MAX_KEY_FILE_BYTES);
  assert.equal(kindOf(file), 'wrapped');
  assert.deepEqual(decodeDataKey(file, PASSPHRASE), dataKey);
  for (const wrong of ['', 'Correct horse battery', `${PASSPHRASE} `, 'x'.repeat(5000)])
    assert.throws(() => decodeDataKey(file, wrong), { name: 'DataKeyError', code: 'wrong-passphrase' });
  assert.throws(() => decodeDataKey(file, null), { code: 'passphrase-needed' });
  assert.equal(file.indexOf(dataKey), -1);
});

test('a bare key needs none', () => {
  const dataKey = newDataKey();
  const file = encodeDataKey(dataKey, null);
  assert.equal(kindOf(file), 'bare');
  assert.deepEqual(decodeDataKey(file, null), dataKey);
  assert.throws(() => decodeDataKey(file, PASSPHRASE), { code: 'passphrase-needed' });
});

test('however its characters are composed, a passphrase is the same', () => {
  const dataKey = newDataKey();
  const file = encodeDataKey(dataKey, 'Zu\u0308rich am See', CHEAP);
  assert.deepEqual(decodeDataKey(file, 'Z\u00FCrich am See'), dataKey);
});

test('a new passphrase is neither too short nor a file given by mistake', () => {
  for (const unusable of ['', 'seven..', '😀😀😀😀😀😀😀', 'x'.repeat(1025)])
    assert.throws(() => encodeDataKey(newDataKey(), unusable, CHEAP), { code: 'passphrase-unusable' });
});

test('a key file that is damaged is said to be, whatever the passphrase', () => {
  for (const file of [encodeDataKey(newDataKey(), PASSPHRASE, CHEAP), encodeDataKey(newDataKey(), null)]) {
    for (let bit = 0; bit < file.byteLength * 8; bit++) {
      const turned = Buffer.from(file);
      turned[bit >> 3]! ^= 1 << (bit & 7);
      // Of the version, a bit may say that it is a later one.
      assert.throws(() => decodeDataKey(turned, PASSPHRASE), {
        name: 'DataKeyError',
        code: /damaged|newer-version/,
      });
    }
    for (let end = 0; end < file.byteLength; end++)
      assert.throws(() => decodeDataKey(file.subarray(0, end), PASSPHRASE), { code: 'damaged' });
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      assert.throws(() => decodeDataKey(garbage, PASSPHRASE), { name: 'DataKeyError' });
    }),
  );
});

test('the work asked for is that of RFC 9106, second choice', () => {
  assert.deepEqual(ARGON2_COST, { memoryKiB: 2 ** 16, passes: 3, lanes: 4 });
});
