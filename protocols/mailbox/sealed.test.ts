import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  isSealingPeer,
  KEM_CIPHERTEXT_BYTES,
  layOutSealed,
  MAX_SEALED_CONTENT_BYTES,
  MAX_SESSION_BLOBS,
  PADDED_BYTES,
  readSealed,
  readSealedBody,
  SealedError,
  sessionIdOf,
} from './sealed.ts';
import type { SealedErrorCode } from './sealed.ts';

const peer = Buffer.concat([Buffer.from('002408011220', 'hex'), Buffer.alloc(32, 9)]);
const nonce = new Uint8Array(12).fill(3);
const openingHeader = {
  prekeyId: new Uint8Array(16).fill(4),
  kemCiphertext: new Uint8Array(KEM_CIPHERTEXT_BYTES).fill(5),
};
const opening = { ...openingHeader, sender: peer, signature: new Uint8Array(64).fill(6) };
const sessionId = sessionIdOf(openingHeader);

const lay = (content: Uint8Array, counter = 0): Buffer =>
  layOutSealed({ sessionId, counter, nonce }, { content }).blob;
const layOpening = (content: Uint8Array, counter = 0): Buffer =>
  layOutSealed({ sessionId, counter, nonce, opening }, { content, opening }).blob;

const refusedAs = (code: SealedErrorCode) => (error: unknown) =>
  error instanceof SealedError && error.code === code;

test('what is laid out is read again', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 5000 }),
      fc.nat({ max: MAX_SESSION_BLOBS - 1 }),
      fc.boolean(),
      (content, counter, withOpening) => {
        const blob = withOpening ? layOpening(content, counter) : lay(content, counter);
        const read = readSealed(blob);
        assert.equal(read.counter, counter);
        assert.ok(sessionId.equals(read.sessionId));
        assert.deepEqual(Uint8Array.from(read.nonce), nonce);
        assert.equal(read.opening !== undefined, withOpening);
        const body = readSealedBody(Buffer.from(read.ciphertext), withOpening);
        assert.deepEqual(Uint8Array.from(body.content), content);
        assert.equal(body.opening !== undefined, withOpening);
      },
    ),
  );
});

test('a blob has the smallest class that holds its content', () => {
  assert.deepEqual(PADDED_BYTES, [1024, 4096, 16384, 65536, 262144]);
  for (const [index, bytes] of PADDED_BYTES.entries()) {
    const fits = bytes - 52;
    assert.equal(lay(new Uint8Array(fits)).byteLength, bytes);
    if (index === 4) assert.throws(() => lay(new Uint8Array(fits + 1)), RangeError);
    else assert.equal(lay(new Uint8Array(fits + 1)).byteLength, PADDED_BYTES[index + 1]);
  }
  assert.equal(layOpening(new Uint8Array()).byteLength, 4096);
  assert.equal(layOpening(new Uint8Array(4096 - 1290)).byteLength, 4096);
  assert.equal(layOpening(new Uint8Array(4096 - 1289)).byteLength, 16384);
  assert.equal(MAX_SEALED_CONTENT_BYTES, 262144 - 1290);
  assert.equal(layOpening(new Uint8Array(MAX_SEALED_CONTENT_BYTES)).byteLength, 262144);
});

test('headers that can not be are malformed', () => {
  const blob = layOpening(Buffer.from('hello'));
  const cases = [
    new Uint8Array(),
    new Uint8Array(1024),
    blob.subarray(0, 1023),
    blob.subarray(0, 1024),
    Buffer.concat([blob, Buffer.alloc(1)]),
    blob.with(0, 2),
    blob.with(1, 2),
    // Blob 512 and blob 65,535.
    blob.with(18, 2),
    blob.with(18, 0xff).with(19, 0xff),
    // The session's id, the prekey's and the ciphertext have to agree.
    blob.with(2, blob[2]! ^ 1),
    blob.with(32, 0),
    blob.with(1167, 0),
  ];
  for (const each of cases) assert.throws(() => readSealed(each), refusedAs('malformed'));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000, size: 'max' }), (garbage) => {
      assert.throws(() => readSealed(garbage), refusedAs('malformed'));
    }),
  );
});

test('bodies that can not be are malformed', () => {
  const read = (body: Buffer, withOpening: boolean) => () => readSealedBody(body, withOpening);
  assert.throws(read(Buffer.alloc(3), false), refusedAs('malformed'));
  assert.throws(read(Buffer.alloc(105), true), refusedAs('malformed'));
  assert.throws(read(Buffer.from('0000000500000000', 'hex'), false), refusedAs('malformed'));
  assert.throws(read(Buffer.from('ffffffff00000000', 'hex'), false), refusedAs('malformed'));
  // The sender is no Ed25519 peer id.
  assert.throws(read(Buffer.alloc(200), true), refusedAs('malformed'));
  assert.equal(readSealedBody(Buffer.alloc(4), false).content.byteLength, 0);
});

test('only Ed25519 identities seal', () => {
  assert.ok(isSealingPeer(peer));
  assert.ok(!isSealingPeer(peer.subarray(1)));
  assert.ok(!isSealingPeer(peer.with(3, 2)));
  assert.ok(!isSealingPeer(new Uint8Array(38)));
});
