import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { encodeFrames } from '../framing/frames.ts';
import { encodeBlob, encodeDeposit } from './blob-frames.ts';
import { signCapability } from './capability.ts';
import { encodeDepositorsAnswer, encodeDepositorsRequest } from './depositors-frames.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import { encodePrekeyAnswer, encodePrekeyRequest } from './prekey-frames.ts';
import {
  answerRuns,
  decodeClientFrame,
  decodeServerFrame,
  encodeAcknowledge,
  encodeAnswers,
  encodeCollect,
  encodeEnd,
  End_Reason,
  nextSeq,
  Status,
} from './protocol.ts';
import type { Answer } from './protocol.ts';

const uint32 = fc.nat({ max: 0xffff_ffff });
const time = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat());
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
      record({
        seq: uint32,
        recipient: bytes,
        blobId: bytes,
        expiresMs: time,
        blob: bytes,
        capability: bytes,
      }),
      (deposit) => {
        assert.deepEqual(decodeClientFrame(new Uint8Array(encodeDeposit(deposit))), {
          type: 'deposit',
          deposit,
        });
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
      assert.deepEqual(decodeServerFrame(new Uint8Array(encodeBlob(held))), { type: 'blob', held });
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
  // Field 15, empty message.
  assert.equal(decodeClientFrame(Uint8Array.of(0x7a, 0)), undefined);
  assert.equal(decodeServerFrame(Uint8Array.of(0x7a, 0)), undefined);
});

test('the worked exchange of the README is what is sent', async () => {
  const readme = await readFile(new URL('README.md', import.meta.url), 'utf8');
  const key = (seed: number) => generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed));
  const identity = async (seed: number) => peerIdToBytes(peerIdFromPrivateKey(await key(seed)));
  const answered = (seq: number, fields: Pick<Answer, 'status' | 'keptUntilMs'>): Uint8Array[] =>
    encodeAnswers(answerRuns([seq], [{ retryAfterMs: 0, detail: '', ...fields }]));
  const [alice, bob] = await Promise.all([identity(1), identity(2)]);
  const time = 1_800_000_000_000;
  const blob = Buffer.from('hello');
  const prekey = (number: number, text: string) => ({
    id: new Uint8Array(16).fill(number),
    expiresMs: time,
    prekey: Buffer.from(text),
  });
  const once = prekey(1, 'once');
  const always = prekey(2, 'always');
  const publication = { oneTime: [once], lastResort: always, replace: false };
  const take = encodePrekeyRequest({ type: 'take-prekey', recipient: bob });
  const expected = [
    [
      encodeDeposit({
        seq: 0,
        recipient: bob,
        blobId: hash('sha256', blob, 'buffer'),
        expiresMs: time,
        blob,
      }),
    ],
    answered(0, { status: Status.STORED, keptUntilMs: time }),
    [encodeCollect()],
    [encodeBlob({ depositor: alice, depositedAtMs: time - 21 * 86_400_000, blob })],
    [encodeAcknowledge(1)],
    [encodeEnd(End_Reason.REPLACED)],
    [encodePrekeyRequest({ type: 'publish-prekeys', publication })],
    [encodePrekeyAnswer({ type: 'prekeys-published', left: 1 })],
    [take],
    [encodePrekeyAnswer({ type: 'prekey-taken', prekey: once, lastResort: false })],
    [take],
    [encodePrekeyAnswer({ type: 'prekey-taken', prekey: always, lastResort: true })],
    [encodePrekeyRequest({ type: 'count-prekeys' })],
    [encodePrekeyAnswer({ type: 'prekeys-counted', oneTimeIds: [], lastResortId: always.id })],
    [
      encodeDeposit({
        seq: 1,
        recipient: bob,
        blobId: hash('sha256', blob, 'buffer'),
        expiresMs: time,
        blob,
        capability: await signCapability(await key(2), {
          depositor: peerIdFromPrivateKey(await key(1)),
          issuedMs: time - 21 * 86_400_000,
          expiresMs: time,
        }),
      }),
    ],
    answered(1, { status: Status.ALREADY_THERE, keptUntilMs: time }),
    [
      encodeDepositorsRequest({
        type: 'set-depositors',
        change: { block: [alice], unblock: [], atMs: time },
      }),
    ],
    [encodeDepositorsAnswer({ type: 'depositors-set', blocked: 1 })],
    answered(2, { status: Status.REFUSED, keptUntilMs: 0 }),
  ].map((frames) => Buffer.from(encodeFrames(frames)).toString('hex'));
  const shown = readme
    .slice(readme.indexOf('## A worked exchange'))
    .matchAll(/^(?:client|mailbox) {2,}((?:[0-9a-f]+ )*[0-9a-f]+).*\n((?: {12}.*\n)*)/gm)
    .map(([, first, rest]) =>
      [first!, ...rest!.split('\n').map((line) => line.trim().split(/ {2,}/)[0]!)]
        .join('')
        .replaceAll(' ', ''),
    );
  assert.deepEqual([...shown], expected);
});

void test('times beyond what a number holds, and text that is cut, can be encoded again', () => {
  const most = Uint8Array.from(Buffer.from('0a0b20ffffffffffffffffff01', 'hex'));
  const frame = decodeClientFrame(most);
  assert.ok(frame?.type === 'deposit');
  assert.equal(frame.deposit.expiresMs, Number.MAX_SAFE_INTEGER);
  const answer = { firstSeq: 1, count: 1, status: Status.FULL, keptUntilMs: 0, retryAfterMs: 0 };
  const [cut] = encodeAnswers([{ ...answer, detail: `${'x'.repeat(199)}\u{1f9ea}` }]);
  const answers = decodeServerFrame(cut!);
  assert.ok(answers?.type === 'answers' && answers.runs[0]!.detail.isWellFormed());
});
