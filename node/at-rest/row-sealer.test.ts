import assert from 'node:assert/strict';
import { createHmac, hkdfSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { DATA_KEY_BYTES, INDEX_BYTES, rowSealer, SEAL_BYTES } from './row-sealer.ts';

const KEY = Uint8Array.from({ length: DATA_KEY_BYTES }, (_, index) => index);
const SEALER = rowSealer(KEY);
const BODIES = SEALER.column('messages.body');
/** Made with Python's `cryptography`: the nonce is 070000004041424344454647, the row 1, 2. */
const VECTOR = '07000000404142434445464702f1f798441533027c29530fd8a69199f662ce0272c1e8ad64104169ace0cacd';
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const isSealError = { name: 'SealedValueError' };

test('what was sealed opens, in its row', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2000 }),
      fc.array(fc.oneof(fc.maxSafeInteger(), fc.uint8Array({ maxLength: 32 })), { maxLength: 4 }),
      (value, row) => {
        const sealed = BODIES.seal(value, ...row);
        assert.equal(sealed.byteLength, value.byteLength + SEAL_BYTES);
        assert.deepEqual(BODIES.open(sealed, ...row), value);
        assert.notDeepEqual(BODIES.seal(value, ...row), sealed);
      },
    ),
  );
});

test('no bit can be turned over, and nothing cut off or put on', () => {
  const value = Buffer.from('see you at eight');
  const sealed = BODIES.seal(value, 1, 2);
  for (let bit = 0; bit < sealed.byteLength * 8; bit++) {
    const turned = Uint8Array.from(sealed);
    turned[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(() => BODIES.open(turned, 1, 2), isSealError, `bit ${bit}`);
  }
  for (let end = 0; end < sealed.byteLength; end++)
    assert.throws(() => BODIES.open(sealed.subarray(0, end), 1, 2), isSealError, `${end} bytes`);
  assert.throws(() => BODIES.open(Buffer.concat([sealed, Buffer.of(0)]), 1, 2), isSealError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      assert.throws(() => BODIES.open(garbage, 1, 2), isSealError);
    }),
  );
});

test('a value opens in no other row, no other column, and with no other key', () => {
  const sealed = BODIES.seal(Buffer.from('hello'), 1, 2, KEY.subarray(0, 16));
  const rows = [
    [1, 2],
    [2, 1, KEY.subarray(0, 16)],
    [1, 2, KEY.subarray(1, 17)],
    [1, 2, KEY.subarray(0, 16), 0],
    [],
  ];
  for (const row of rows) assert.throws(() => BODIES.open(sealed, ...row), isSealError);
  const row = [1, 2, KEY.subarray(0, 16)] as const;
  assert.throws(() => SEALER.column('former_places.body').open(sealed, ...row), isSealError);
  const other = rowSealer(KEY.toReversed());
  assert.throws(() => other.column('messages.body').open(sealed, ...row), isSealError);
  assert.equal(
    textOf(
      rowSealer(KEY)
        .column('messages.body')
        .open(sealed, ...row),
    ),
    'hello',
  );
});

test('an index finds the same text again, and no other', () => {
  const index = SEALER.index('contacts.petname');
  assert.equal(index('ben').byteLength, INDEX_BYTES);
  assert.deepEqual(index('ben'), rowSealer(KEY).index('contacts.petname')('ben'));
  const others = [index('Ben'), SEALER.index('peers.peer_id')('ben')];
  for (const other of [...others, rowSealer(KEY.toReversed()).index('contacts.petname')('ben')])
    assert.notDeepEqual(index('ben'), other);
  // As another implementation has to make it.
  const key = hkdfSync('sha256', KEY, '', 'tincan/at-rest/1/index/contacts.petname', 32);
  const expected = createHmac('sha256', Buffer.from(key)).update('ben').digest().subarray(0, 16);
  assert.deepEqual(index('ben'), expected);
});

test('a sealed value that another program has made opens', () => {
  const sealed = Buffer.from(VECTOR, 'hex');
  assert.equal(textOf(BODIES.open(sealed, 1, 2)), 'see you at eight');
});

test('the data key may be overwritten when the sealer is made', () => {
  const key = Uint8Array.from(KEY);
  const sealer = rowSealer(key);
  key.fill(0);
  const sealed = sealer.column('messages.body').seal(Buffer.from('hello'), 1);
  assert.equal(textOf(BODIES.open(sealed, 1)), 'hello');
  assert.throws(() => rowSealer(new Uint8Array(31)), RangeError);
});
