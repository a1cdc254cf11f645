import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { MessageSchema } from './chat_pb.ts';
import { decodeMessage, encodeMessage, messageHash, UnacceptableMessageError } from './message.ts';
import type { ChatMessage } from './message.ts';
import { CHAT_LIMITS } from './protocol.ts';

const MAX_TIME_MS = 8_640_000_000_000_000;

const CHAIN = new Uint8Array(8).fill(2);
const MESSAGE: ChatMessage = {
  id: new Uint8Array(16).fill(1),
  chain: CHAIN,
  counter: 2,
  previous: new Uint8Array(32).fill(3),
  clockMs: 1_800_000_000_000,
  clockCount: 4,
  sentAtMs: 1_799_999_999_999,
  text: 'Hello, Bob 👋',
};

type Fields = MessageInitShape<typeof MessageSchema>;

/** The message above with some fields as somebody else's code may set them. */
const foreign = (fields: Partial<Fields>): Uint8Array =>
  toBinary(
    MessageSchema,
    create(MessageSchema, {
      id: MESSAGE.id,
      chain: MESSAGE.chain,
      counter: BigInt(MESSAGE.counter),
      previous: MESSAGE.previous,
      clockMs: BigInt(MESSAGE.clockMs),
      clockCount: MESSAGE.clockCount,
      sentAtMs: BigInt(MESSAGE.sentAtMs),
      content: { body: { case: 'text', value: MESSAGE.text } },
      ...fields,
    } as Fields),
  );

const text = (value: string): Partial<Fields> => ({ content: { body: { case: 'text', value } } });

function refusalOf(bytes: Uint8Array): UnacceptableMessageError {
  try {
    decodeMessage(bytes);
  } catch (error) {
    assert.ok(error instanceof UnacceptableMessageError);
    assert.equal(error.name, 'UnacceptableMessageError');
    return error;
  }
  assert.fail('was accepted');
}

void test('a message is read as it was written', () => {
  const time = fc.integer({ min: 0, max: MAX_TIME_MS });
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const message = fc
    .record({
      id: bytes(16),
      chain: bytes(8),
      counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      hash: bytes(32),
      clockMs: time,
      clockCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      sentAtMs: time,
      text: fc.string({ unit: 'grapheme', minLength: 1 }),
    })
    .map(({ hash, ...rest }): ChatMessage => ({
      ...rest,
      previous: rest.counter === 1 ? new Uint8Array(0) : hash,
    }));
  fc.assert(
    fc.property(message, (message) => {
      assert.deepEqual(decodeMessage(encodeMessage(message)), message);
    }),
  );
  assert.deepEqual(encodeMessage(MESSAGE), foreign({}));
});

void test('the first of a chain has none before it', () => {
  const first = { ...MESSAGE, counter: 1, previous: new Uint8Array(0) };
  assert.deepEqual(decodeMessage(encodeMessage(first)), first);
});

void test('what is not a message is refused without saying where', () => {
  const badText = foreign({});
  badText[Buffer.from(badText).indexOf('Hello')] = 0xff;
  for (const [bytes, message] of [
    [Uint8Array.of(0x0a, 0xff), /^not a message: /],
    [badText, /^not a message: .*utf-8/],
    [new Uint8Array(0), /^chain must have 8 bytes$/],
    [foreign({ chain: new Uint8Array(0) }), /^chain must have 8 bytes$/],
    [foreign({ chain: new Uint8Array(9) }), /^chain must have 8 bytes$/],
    [foreign({ counter: 0n }), /^a counter must be between 1 and 2\^53 - 1$/],
    [foreign({ counter: 2n ** 53n }), /^a counter must be between 1 and 2\^53 - 1$/],
  ] as const) {
    const error = refusalOf(bytes);
    assert.match(error.message, message);
    assert.deepEqual([error.code, error.position], ['malformed', undefined]);
  }
});

void test('what can not be accepted is refused with its place', () => {
  const long = 'x'.repeat(CHAT_LIMITS.maxTextBytes + 1);
  const wide = '€'.repeat(CHAT_LIMITS.maxTextBytes / 3) + 'x';
  for (const [fields, code, message] of [
    [{ id: new Uint8Array(15) }, 'malformed', 'id must have 16 bytes'],
    [{ id: new Uint8Array(17) }, 'malformed', 'id must have 16 bytes'],
    [{ conversation: Uint8Array.of(1) }, 'malformed', 'conversation is not one this version knows'],
    [{ previous: new Uint8Array(0) }, 'malformed', 'previous has the wrong length'],
    [{ previous: new Uint8Array(33) }, 'malformed', 'previous has the wrong length'],
    [{ content: undefined }, 'malformed', 'content is not of a kind this version knows'],
    [{ content: {} }, 'malformed', 'content is not of a kind this version knows'],
    [text(''), 'malformed', 'text is empty'],
    [text(long), 'too-large', 'text is over 49152 bytes'],
    [text(wide), 'too-large', 'text is over 49152 bytes'],
    [{ clockMs: BigInt(MAX_TIME_MS) + 1n }, 'malformed', 'a time is out of range'],
    [{ sentAtMs: 2n ** 64n - 1n }, 'malformed', 'a time is out of range'],
  ] as [Partial<Fields>, string, string][]) {
    const error = refusalOf(foreign(fields));
    assert.deepEqual([error.code, error.message], [code, message]);
    assert.deepEqual(error.position, { chain: CHAIN, counter: 2 });
  }
  const first = refusalOf(foreign({ counter: 1n }));
  assert.deepEqual([first.message, first.position?.counter], ['previous has the wrong length', 1]);
});

void test('limits are the largest accepted', () => {
  for (const value of ['x'.repeat(CHAT_LIMITS.maxTextBytes), '€'.repeat(CHAT_LIMITS.maxTextBytes / 3)])
    assert.equal(decodeMessage(foreign(text(value))).text, value);
  const last = BigInt(MAX_TIME_MS);
  assert.equal(decodeMessage(foreign({ clockMs: last, sentAtMs: last })).sentAtMs, MAX_TIME_MS);
});

void test('fields of a later version are passed over', () => {
  const later = new Uint8Array(Buffer.concat([foreign({}), Uint8Array.of(0xfa, 0x01, 2, 1, 2)]));
  assert.deepEqual(decodeMessage(later), decodeMessage(foreign({})));
});

void test('whatever the bytes, a message or an UnacceptableMessageError', () => {
  const good = encodeMessage(MESSAGE);
  const mutated = fc
    .array(fc.tuple(fc.nat(good.byteLength - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .chain((changes) =>
      fc.nat(good.byteLength).map((length) => {
        const bytes = new Uint8Array(good);
        for (const [at, value] of changes) bytes[at] = value;
        return length < 20 ? bytes.subarray(0, bytes.byteLength - length) : bytes;
      }),
    );
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
      try {
        const message = decodeMessage(bytes);
        assert.ok(Number.isSafeInteger(message.counter) && message.text.length > 0);
      } catch (error) {
        assert.equal((error as Error).name, 'UnacceptableMessageError');
      }
    }),
    { numRuns: 3000 },
  );
});

void test('the hash of a message is SHA-256 of its bytes', () => {
  const encoded = encodeMessage(MESSAGE);
  assert.deepEqual(Buffer.from(messageHash(encoded)), createHash('sha256').update(encoded).digest());
});
