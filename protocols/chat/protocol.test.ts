import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { FrameSchema, Refusal_Reason } from './chat_pb.ts';
import type { Ack } from './chat_pb.ts';
import { sortFrames } from './decisions.ts';
import type { AckDetails } from './decisions.ts';
import {
  ackedRanges,
  CHAT_LIMITS,
  decodeBundle,
  decodeFrame,
  encodeAck,
  encodeBundle,
  encodeHello,
  encodeMessageFrame,
  encodeDepositCapability,
  encodeInviteToken,
  encodePending,
  encodePrekeys,
  encodePrekeysWanted,
  encodeReceipt,
  encodeSessionNotice,
  encodeRefusal,
  safeCounter,
} from './protocol.ts';
import { addRange } from './ranges.ts';
import type { Range } from './ranges.ts';

const chain = fc.uint8Array({ minLength: 8, maxLength: 8 });
const counter = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
);

const ackOf = (frame: Uint8Array): Ack => {
  const { body } = decodeFrame(frame);
  assert.ok(body.case === 'ack');
  return body.value;
};

/** An Ack frame as somebody else's code may make it. */
const foreignAck = (upTo: bigint, beyond: [bigint, bigint][]): Uint8Array =>
  toBinary(
    FrameSchema,
    create(FrameSchema, {
      body: {
        case: 'ack',
        value: {
          chain: new Uint8Array(8),
          upTo,
          beyond: beyond.map(([first, last]) => ({ first, last })),
        } as Ack,
      },
    }),
  );

void test('a message frame is what the schema makes of it', () => {
  const check = (message: Uint8Array): void => {
    const frame = encodeMessageFrame(message);
    assert.deepEqual(
      frame,
      toBinary(FrameSchema, create(FrameSchema, { body: { case: 'message', value: message } })),
    );
    assert.deepEqual(decodeFrame(frame).body, { case: 'message', value: message });
  };
  for (const length of [0, 1, 127, 128, 16_383, 16_384, CHAT_LIMITS.maxTextBytes + 200])
    check(new Uint8Array(length).fill(7));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check));
});

void test('a hello is read as it was written', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 64 }),
      fc.uint8Array(),
      fc.uint8Array(),
      (features, contactCard, nameCertificate) => {
        const { hello } = sortFrames([encodeHello({ features, contactCard, nameCertificate })]);
        const { $typeName: _, ...fields } = hello!;
        assert.deepEqual(fields, { version: 0, features, contactCard, nameCertificate });
      },
    ),
  );
});

const counters = (ack: Uint8Array): Range[] =>
  ackedRanges(ackOf(ack)).map(({ first, last, hash }) => {
    assert.equal(hash.byteLength, 0);
    return { first, last };
  });

void test('an ack names what was received, as far as it has room', () => {
  fc.assert(
    fc.property(chain, fc.array(fc.tuple(counter, fc.nat(50))), (chain, added) => {
      const received = added.reduce<Range[]>(
        (all, [first, more]) => addRange(all, first, Math.min(Number.MAX_SAFE_INTEGER, first + more)),
        [],
      );
      const hashAt = (counter: number): Uint8Array => new Uint8Array(32).fill(counter % 256);
      const ack = ackOf(encodeAck(chain, received, hashAt));
      assert.deepEqual(ack.chain, chain);
      assert.deepEqual(
        ackedRanges(ack),
        received.map(({ first, last }) => ({ first, last, hash: hashAt(last) })),
      );
      assert.deepEqual(counters(encodeAck(chain, received)), received);
    }),
  );
  const gaps = Array.from({ length: 100 }, (_, i) => ({ first: 2 * i + 2, last: 2 * i + 2 }));
  const most = CHAT_LIMITS.maxAckRanges;
  assert.deepEqual(counters(encodeAck(new Uint8Array(8), gaps)), gaps.slice(0, most));
  const held = [{ first: 1, last: 1 }, ...gaps.map(({ first }) => ({ first: first + 1, last: first + 1 }))];
  assert.deepEqual(counters(encodeAck(new Uint8Array(8), held)), held.slice(0, most + 1));
});

void test('an ack whose numbers make no sense is refused', () => {
  const beyond = (count: number): [bigint, bigint][] =>
    Array.from({ length: count }, (_, i) => [BigInt(2 * i + 2), BigInt(2 * i + 2)]);
  assert.equal(ackedRanges(ackOf(foreignAck(0n, beyond(64)))).length, 64);
  for (const [upTo, ranges, message] of [
    [0n, beyond(65), 'an ack names too many ranges'],
    [5n, [[5n, 6n]], 'the ranges of an ack must ascend'],
    [0n, [[6n, 5n]], 'the ranges of an ack must ascend'],
    [
      0n,
      [
        [8n, 9n],
        [5n, 6n],
      ],
      'the ranges of an ack must ascend',
    ],
    [0n, [[0n, 3n]], 'a counter must be between 1 and 2^53 - 1'],
    [2n ** 53n, [], 'a counter must be between 1 and 2^53 - 1'],
    [1n, [[3n, 2n ** 64n - 1n]], 'a counter must be between 1 and 2^53 - 1'],
  ] as [bigint, [bigint, bigint][], string][]) {
    const expected = { name: 'InvalidMessageError', message };
    assert.throws(() => ackedRanges(ackOf(foreignAck(upTo, ranges))), expected);
    assert.throws(() => sortFrames([foreignAck(upTo, ranges)]), expected);
  }
});

void test('a hash has 32 bytes or is not there', () => {
  const chain = new Uint8Array(8);
  const expected = { name: 'InvalidMessageError', message: 'a hash must have 32 bytes' };
  for (const length of [1, 31, 33]) {
    const hash = new Uint8Array(length);
    for (const received of [[{ first: 1, last: 2 }], [{ first: 2, last: 2 }]])
      assert.throws(() => sortFrames([encodeAck(chain, received, () => hash)]), expected);
    assert.throws(() => sortFrames([encodeReceipt(chain, 1, hash)]), expected);
  }
});

void test('refusals and receipts are read as they were written', () => {
  const reasons = fc.constantFrom(
    Refusal_Reason.UNSPECIFIED,
    Refusal_Reason.MALFORMED,
    Refusal_Reason.CONFLICT,
    Refusal_Reason.TOO_LARGE,
  );
  fc.assert(
    fc.property(chain, counter, reasons, (chain, counter, reason) => {
      const refusal = fromBinary(FrameSchema, encodeRefusal(chain, counter, reason)).body;
      assert.ok(refusal.case === 'refusal');
      assert.deepEqual(
        [refusal.value.chain, safeCounter(refusal.value.counter), refusal.value.reason],
        [chain, counter, reason],
      );
      const hash = new Uint8Array(32).fill(counter % 256);
      const receipt = fromBinary(FrameSchema, encodeReceipt(chain, counter, hash)).body;
      assert.ok(receipt.case === 'receipt');
      assert.deepEqual(
        [receipt.value.chain, safeCounter(receipt.value.readUpTo), receipt.value.hash],
        [chain, counter, hash],
      );
    }),
  );
});

void test('counters are 1 to 2^53 - 1', () => {
  for (const value of [1n, 2n ** 53n - 1n]) assert.equal(safeCounter(value), Number(value));
  for (const value of [0n, -1n, 2n ** 53n, 2n ** 64n - 1n])
    assert.throws(() => safeCounter(value), { name: 'InvalidMessageError' });
});

void test('a bundle holds its frames', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (frames) => {
      assert.deepEqual(decodeBundle(encodeBundle(frames)), frames);
    }),
  );
});

void test('a bundle of more frames than anybody has to say is refused', () => {
  const frames = (count: number): Uint8Array[] =>
    Array.from({ length: count }, () => encodeRefusal(new Uint8Array(8), 1, Refusal_Reason.CONFLICT));
  const { maxBundleFrames } = CHAT_LIMITS;
  assert.equal(decodeBundle(encodeBundle(frames(maxBundleFrames))).length, maxBundleFrames);
  // What a sender puts into one, 60 KiB of the shortest frames, is well below.
  assert.ok(encodeBundle(frames(maxBundleFrames)).byteLength > 60 * 1024);
  assert.throws(() => decodeBundle(encodeBundle(frames(maxBundleFrames + 1))), {
    name: 'InvalidMessageError',
  });
});

void test('frames of one batch are sorted, unknown ones are passed over', async () => {
  const [one, other] = [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)];
  const hash = new Uint8Array(32).fill(3);
  // Field 15 of a later version, and a frame with nothing in it.
  const unknown = [Uint8Array.of(0x7a, 2, 1, 2), new Uint8Array(0)];
  const [first, second] = [new Uint8Array(30).fill(1), new Uint8Array(30).fill(2)];
  const { hello, messages, tell } = sortFrames([
    ...unknown,
    encodeHello({ features: [], contactCard: new Uint8Array(0), nameCertificate: new Uint8Array(0) }),
    encodeMessageFrame(first),
    // Too short for an id, a chain and a counter.
    encodeMessageFrame(first.subarray(1)),
    encodeMessageFrame(new Uint8Array(0)),
    encodeAck(one, [{ first: 1, last: 3 }]),
    encodeAck(other, [{ first: 2, last: 2 }]),
    encodeAck(one, [{ first: 1, last: 5 }], () => hash),
    encodeRefusal(one, 6, Refusal_Reason.CONFLICT),
    encodeRefusal(one, 7, 99 as Refusal_Reason),
    encodeReceipt(other, 2, hash),
    encodeMessageFrame(second),
    ...unknown,
  ]);
  assert.equal(hello, undefined);
  assert.deepEqual(messages, [first, second]);
  const told: unknown[][] = [];
  const decisions = new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args: unknown[]) =>
          Promise.resolve(void told.push([name, ...args])),
    },
  );
  await tell(decisions as never, 'ada', { opening: true });
  const none = new Uint8Array(0);
  assert.deepEqual(told, [
    ['acked', 'ada', { chain: one, ranges: [{ first: 1, last: 5, hash }], opening: true }],
    ['acked', 'ada', { chain: other, ranges: [{ first: 2, last: 2, hash: none }], opening: true }],
    ['refused', 'ada', one, 6, 'conflict'],
    ['refused', 'ada', one, 7, 'refused'],
    ['receipt', 'ada', other, 2, hash],
  ]);
  // Copies: what was decoded is a view on a chunk.
  const { chain, ranges } = told[0]![2] as AckDetails;
  for (const copy of [chain, told[2]![2], told[4]![2]])
    assert.equal((copy as Uint8Array).buffer.byteLength, 8);
  for (const copy of [ranges[0]!.hash, told[4]![4]]) assert.equal((copy as Uint8Array).buffer.byteLength, 32);
});

void test('what is about sessions, prekeys and rights is told, and its answers are given back', async () => {
  const id = new Uint8Array(16).fill(4);
  const frames = [
    encodeSessionNotice({ opened: [id], lost: [] }),
    encodePrekeysWanted(),
    // Asked twice in one batch: answered once.
    encodePrekeysWanted(),
    encodePrekeys([Uint8Array.of(1), Uint8Array.of(2)]),
    encodeInviteToken(Uint8Array.of(3)),
    encodeDepositCapability(Uint8Array.of(4)),
    encodePending(),
  ];
  const told: unknown[][] = [];
  const decisions = new Proxy(
    {},
    {
      get:
        (_, name) =>
        (...args: unknown[]) => {
          told.push([name, ...args]);
          return Promise.resolve(name === 'prekeysWanted' ? [Uint8Array.of(9)] : undefined);
        },
    },
  );
  const answers = await sortFrames(frames).tell(decisions as never, 'ada');
  assert.deepEqual(answers, [Uint8Array.of(9)]);
  assert.deepEqual(told, [
    ['sessionNotice', 'ada', { opened: [id], lost: [] }],
    ['prekeys', 'ada', [Uint8Array.of(1), Uint8Array.of(2)]],
    ['inviteToken', 'ada', Uint8Array.of(3)],
    ['depositCapability', 'ada', Uint8Array.of(4)],
    ['pending', 'ada'],
    ['prekeysWanted', 'ada'],
  ]);
});

void test('more of it than a limit allows is refused', () => {
  const ids = (count: number, bytes: number): Uint8Array[] =>
    Array.from({ length: count }, () => new Uint8Array(bytes));
  for (const [frame, message] of [
    [encodeSessionNotice({ opened: ids(65, 16), lost: [] }), 'a notice names more than 64 sessions'],
    [encodeSessionNotice({ opened: [], lost: ids(1, 15) }), 'the id of a session must have 16 bytes'],
    [encodePrekeys(ids(5, 1)), 'a frame has more than 4 prekeys'],
    [encodeInviteToken(new Uint8Array(65)), 'an invite token must have 1 to 64 bytes'],
    [encodeInviteToken(new Uint8Array(0)), 'an invite token must have 1 to 64 bytes'],
    [encodeDepositCapability(new Uint8Array(1025)), 'a deposit capability must have 1 to 1024 bytes'],
  ] as const) {
    assert.throws(() => sortFrames([frame]), { name: 'InvalidMessageError', message });
  }
});

void test('a chain of another length, or too many features, is refused', () => {
  for (const length of [0, 7, 9]) {
    const chain = new Uint8Array(length);
    for (const frame of [
      encodeAck(chain, [{ first: 1, last: 1 }]),
      encodeRefusal(chain, 1, Refusal_Reason.MALFORMED),
      encodeReceipt(chain, 1),
    ]) {
      assert.throws(() => sortFrames([frame]), {
        name: 'InvalidMessageError',
        message: 'a chain must have 8 bytes',
      });
    }
  }
  const features = Array.from({ length: CHAT_LIMITS.maxFeatures + 1 }, () => 'f');
  const nothing = new Uint8Array(0);
  assert.throws(
    () => sortFrames([encodeHello({ features, contactCard: nothing, nameCertificate: nothing })]),
    {
      name: 'InvalidMessageError',
      message: 'a hello names more than 64 features',
    },
  );
});

void test('arbitrary and mutated bytes are frames, or an InvalidMessageError', () => {
  const frames = [
    encodeHello({ features: ['a'], contactCard: Uint8Array.of(1), nameCertificate: Uint8Array.of(2) }),
    encodeAck(new Uint8Array(8), [
      { first: 1, last: 3 },
      { first: 5, last: 9 },
    ]),
    encodeRefusal(new Uint8Array(8), 3, Refusal_Reason.TOO_LARGE),
    encodeReceipt(new Uint8Array(8), 3),
    encodeBundle([Uint8Array.of(1, 2)]),
  ];
  const mutated = fc
    .tuple(fc.constantFrom(...frames), fc.nat(), fc.nat(255), fc.nat(60))
    .map(([frame, at, value, cut]) => {
      const bytes = new Uint8Array(frame);
      bytes[at % bytes.byteLength] = value;
      return bytes.subarray(0, bytes.byteLength - (cut < 5 ? cut : 0));
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated), (bytes) => {
      for (const decode of [() => sortFrames([bytes]), () => decodeBundle(bytes)]) {
        try {
          decode();
        } catch (error) {
          assert.equal((error as Error).name, 'InvalidMessageError');
        }
      }
    }),
    { numRuns: 2000 },
  );
});
