import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  answerRuns,
  decodeClientFrame,
  decodeServerFrame,
  encodeAcknowledge,
  encodeAnswers,
  encodeBlob,
  encodeCollect,
  encodeDeposit,
  encodeEnd,
  nextSeq,
  Status,
} from './protocol.ts';
import type { Answer, End_Reason } from './protocol.ts';

const uint32 = fc.nat({ max: 0xffff_ffff });
const time = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 300 });
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(fields, { noNullPrototype: true });
const answer = record({
  status: fc.integer({ min: 0, max: 12 }).map((status) => status as Status),
  keptUntilMs: fc.oneof(fc.constant(5), time),
  retryAfterMs: uint32,
  detail: fc.string({ maxLength: 40 }),
});

test('what a client encodes, the mailbox decodes', () => {
  fc.assert(
    fc.property(
      record({ seq: uint32, recipient: bytes, blobId: bytes, expiresMs: time, blob: bytes }),
      (deposit) => {
        assert.deepEqual(decodeClientFrame(encodeDeposit(deposit)), { type: 'deposit', deposit });
      },
    ),
  );
  fc.assert(
    fc.property(uint32, (count) => {
      assert.deepEqual(decodeClientFrame(encodeAcknowledge(count)), { type: 'acknowledge', count });
    }),
  );
  assert.deepEqual(decodeClientFrame(encodeCollect()), { type: 'collect' });
});

test('what a mailbox encodes, the client decodes', () => {
  fc.assert(
    fc.property(record({ depositor: bytes, depositedAtMs: time, blob: bytes }), (held) => {
      assert.deepEqual(decodeServerFrame(encodeBlob(held)), { type: 'blob', held });
    }),
  );
  fc.assert(
    fc.property(
      fc.nat({ max: 5 }).map((reason) => reason as End_Reason),
      (reason) => {
        assert.deepEqual(decodeServerFrame(encodeEnd(reason)), { type: 'end', reason });
      },
    ),
  );
});

test('runs of answers unfold to the answers they were made of, also where numbers wrap', () => {
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 50 }), uint32, (answers, first) => {
      const seqs: number[] = [];
      for (let i = 0, seq = first; i < answers.length; i++, seq = nextSeq(seq)) seqs.push(seq);
      const unfolded: unknown[] = [];
      for (const frame of encodeAnswers(answerRuns(seqs, answers))) {
        const decoded = decodeServerFrame(frame);
        assert.equal(decoded?.type, 'answers');
        for (const { firstSeq, count, ...rest } of decoded.runs) {
          for (let i = 0, seq = firstSeq; i < count; i++, seq = nextSeq(seq)) unfolded.push([seq, rest]);
        }
      }
      assert.deepEqual(
        unfolded,
        answers.map((answer, i) => [seqs[i], answer]),
      );
    }),
  );
});

test('a batch that is answered alike takes one run, numbers out of order do not', () => {
  const stored: Answer = { status: Status.STORED, keptUntilMs: 9, retryAfterMs: 0, detail: '' };
  const alike = answerRuns([0xffff_fffe, 0xffff_ffff, 0], [stored, { ...stored }, stored]);
  assert.deepEqual(alike, [{ firstSeq: 0xffff_fffe, count: 3, ...stored }]);
  assert.equal(answerRuns([3, 2, 7], [stored, stored, stored]).length, 3);
});

test('many different answers are spread over frames', () => {
  const answers = Array.from({ length: 2500 }, (_, keptUntilMs) => ({
    status: Status.STORED,
    keptUntilMs,
    retryAfterMs: 0,
    detail: '',
  }));
  assert.equal(encodeAnswers(answerRuns([...answers.keys()], answers)).length, 3);
});

test('garbage is decoded or refused as an invalid message, nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (garbage) => {
      for (const decode of [decodeClientFrame, decodeServerFrame]) {
        try {
          decode(garbage);
        } catch (error) {
          assert.equal((error as Error).name, 'InvalidMessageError');
        }
      }
    }),
  );
});

test('a body of a later version decodes to nothing', () => {
  // Field 9, empty message.
  assert.equal(decodeClientFrame(Uint8Array.of(0x4a, 0)), undefined);
  assert.equal(decodeServerFrame(Uint8Array.of(0x4a, 0)), undefined);
});
