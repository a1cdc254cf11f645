import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodePrekeyAnswer, encodePrekeyRequest, PREKEY_ID_BYTES } from './prekey-frames.ts';
import type { HeldPrekey, PrekeyAnswer, PrekeyRequest, PrekeysRefused_Reason } from './prekey-frames.ts';
import { decodeClientFrame, decodeServerFrame } from './protocol.ts';

const uint32 = fc.nat({ max: 0xffff_ffff });
const time = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat());
const bytes = fc.uint8Array({ maxLength: 300 });
const id = fc.uint8Array({ minLength: PREKEY_ID_BYTES, maxLength: PREKEY_ID_BYTES });
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(fields, { noNullPrototype: true });
const prekey = record<HeldPrekey>({ id: bytes, expiresMs: time, prekey: bytes });
const orUndefined = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const request: fc.Arbitrary<PrekeyRequest> = fc.oneof(
  record({
    type: fc.constant('publish-prekeys' as const),
    publication: record({
      oneTime: fc.array(prekey, { maxLength: 5 }),
      lastResort: orUndefined(prekey),
      replace: fc.boolean(),
    }),
  }),
  record({ type: fc.constant('take-prekey' as const), recipient: bytes }),
  record({ type: fc.constant('count-prekeys' as const) }),
);

const answer: fc.Arbitrary<PrekeyAnswer> = fc.oneof(
  record({ type: fc.constant('prekeys-published' as const), left: uint32 }),
  record({ type: fc.constant('prekey-taken' as const), prekey, lastResort: fc.boolean() }),
  record({
    type: fc.constant('prekeys-counted' as const),
    oneTimeIds: fc.array(id, { maxLength: 5 }),
    lastResortId: orUndefined(id),
  }),
  record({
    type: fc.constant('prekeys-refused' as const),
    reason: fc.nat({ max: 12 }).map((reason) => reason as PrekeysRefused_Reason),
    retryAfterMs: uint32,
    detail: fc.string({ maxLength: 40 }),
  }),
);

test('what a client asks about prekeys, the mailbox reads', () => {
  fc.assert(
    fc.property(request, (request) => {
      assert.deepEqual(decodeClientFrame(encodePrekeyRequest(request)), request);
    }),
  );
});

test('what a mailbox answers about prekeys, the client reads', () => {
  fc.assert(
    fc.property(answer, (answer) => {
      assert.deepEqual(decodeServerFrame(encodePrekeyAnswer(answer)), answer);
    }),
  );
});

test('an answer that misses what it is about is none', () => {
  // Field 5, prekey_taken, with nothing in it; field 6, prekeys_counted, with seven bytes of ids.
  for (const bytes of ['2a00', '32090a0701020304050607']) {
    assert.throws(() => decodeServerFrame(Buffer.from(bytes, 'hex')), { name: 'InvalidMessageError' });
  }
});

test('a time beyond what a number holds stays beyond every limit', () => {
  const bytes = Buffer.from('22100a0e10ffffffffffffffffff011a0101', 'hex');
  const frame = decodeClientFrame(bytes);
  assert.ok(frame?.type === 'publish-prekeys');
  assert.equal(frame.publication.oneTime[0]!.expiresMs, Number.MAX_SAFE_INTEGER);
});
