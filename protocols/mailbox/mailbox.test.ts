import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { InvalidMessageError } from '@libp2p/interface';
import type { Connection, PeerId, Stream } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { streamPair } from '@libp2p/utils';
import { BatchQueue } from '../framing/batch-queue.ts';
import { encodeFrames } from '../framing/frames.ts';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { encodeBlob, encodeDeposit } from './blob-frames.ts';
import { depositor } from './client.ts';
import { collect } from './collect.ts';
import type { Blob } from './collect.ts';
import { MailboxError } from './errors.ts';
import { mailboxHandler } from './handler.ts';
import type { Collection, MailboxDecisions } from './handler.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import {
  answerRuns,
  decodeServerFrame,
  encodeAcknowledge,
  encodeAnswers,
  encodeCollect,
  encodeEnd,
  End_Reason,
  MAX_BLOB_BYTES,
  MAX_CLIENT_FRAME_BYTES,
  MAX_SERVER_FRAME_BYTES,
  Status,
} from './protocol.ts';
import type { Answer, Deposit, HeldBlob } from './protocol.ts';

const peer = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
const alice = await peer();
const bob = await peer();
const stored: Answer = { status: Status.STORED, keptUntilMs: 99, retryAfterMs: 0, detail: '' };
const blob = (i: number): Uint8Array => Buffer.from(`blob ${i}`);
const request = (i: number) => ({ recipient: bob, blob: blob(i), expiresMs: 99 });

interface FakeCollection extends Collection {
  give: (blobs: HeldBlob[]) => void;
  acknowledged: number;
  ended: boolean;
  endReason: End_Reason | undefined;
}

function fakeCollection(): FakeCollection {
  const queue = new BatchQueue<HeldBlob>();
  let sent = 0;
  const collection: FakeCollection = {
    batches: () => queue,
    give: (blobs) => {
      sent += blobs.length;
      for (const held of blobs) queue.push(held);
    },
    acknowledge: (count) => {
      if (collection.acknowledged + count > sent) throw new InvalidMessageError('too many');
      collection.acknowledged += count;
    },
    end: () => {
      collection.ended = true;
      queue.end();
    },
    acknowledged: 0,
    ended: false,
    endReason: undefined,
  };
  return collection;
}

/** A mailbox over in-memory streams, with decisions that a test may replace. */
function mailbox(t: TestContext, decisions: Partial<MailboxDecisions> = {}, streamTimeoutMs = 5000) {
  const stop = new AbortController();
  const streams: Stream[] = [];
  t.after(() => stop.abort());
  const serve = mailboxHandler(
    {
      deposit: async (_, deposits) => deposits.map(() => stored),
      collect: () => fakeCollection(),
      ...decisions,
    },
    { signal: stop.signal, streamTimeoutMs },
  );
  const openStream = async (): Promise<Stream> => {
    const [outbound, inbound] = await streamPair();
    streams.push(inbound);
    void serve(inbound, { remotePeer: alice } as Connection);
    return outbound;
  };
  return { openStream, streams, signal: stop.signal };
}

const closed = (stream: Stream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.status !== 'open') resolve();
    else stream.addEventListener('close', () => resolve(), { once: true });
  });

const eventually = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

test('deposits of one turn reach the mailbox together, each is answered for itself', async (t) => {
  const batches: (readonly Deposit[])[] = [];
  const { openStream, signal } = mailbox(t, {
    deposit: async (from, deposits) => {
      assert.ok(from.equals(alice));
      batches.push(deposits);
      return deposits.map((_, i) => ({ ...stored, keptUntilMs: i }));
    },
  });
  const mail = depositor({ openStream, signal });
  const answers = await Promise.all([1, 2, 3].map((i) => mail.deposit(request(i))));
  assert.deepEqual(
    answers,
    [0, 1, 2].map((keptUntilMs) => ({ status: 'stored', keptUntilMs })),
  );
  assert.equal(batches.length, 1);
  assert.deepEqual(
    batches[0]!.map(({ seq, recipient, blobId, expiresMs, blob }) => ({
      seq,
      recipient,
      blobId,
      expiresMs,
      blob,
    })),
    [1, 2, 3].map((i) => ({
      seq: i - 1,
      recipient: peerIdToBytes(bob),
      blobId: new Uint8Array(hash('sha256', blob(i), 'buffer')),
      expiresMs: 99,
      blob: new Uint8Array(blob(i)),
    })),
  );
  assert.equal(mail.waiting, 0);
});

test('every refusal is an error with a code, and leaves the stream as it is', async (t) => {
  const refusals: [Status, string][] = [
    [Status.FULL, 'full'],
    [Status.SENDER_FULL, 'sender-full'],
    [Status.TOO_LARGE, 'too-large'],
    [Status.RATE_LIMITED, 'rate-limited'],
    [Status.MALFORMED, 'malformed'],
    [Status.HASH_MISMATCH, 'hash-mismatch'],
    [Status.EXPIRED, 'expired'],
    [Status.UNAVAILABLE, 'unavailable'],
    [Status.UNSPECIFIED, 'refused'],
    [77 as Status, 'refused'],
  ];
  const { openStream, streams, signal } = mailbox(t, {
    deposit: async (_, deposits) =>
      deposits.map((_, i) => ({
        status: refusals[i]![0],
        keptUntilMs: 0,
        retryAfterMs: i,
        detail: `no ${i}`,
      })),
  });
  const mail = depositor({ openStream, signal });
  const outcomes = await mail.depositAll(refusals.map((_, i) => request(i)));
  for (const [i, outcome] of outcomes.entries()) {
    assert.ok(outcome instanceof MailboxError);
    assert.equal(outcome.code, refusals[i]![1]);
    assert.equal(outcome.retryAfterMs, i);
    assert.equal(outcome.message, `no ${i}`);
  }
  await assert.rejects(mail.deposit(request(0)), { name: 'MailboxError', code: 'full' });
  assert.equal(streams.length, 1);
});

test('already-there is an answer, not an error', async (t) => {
  const { openStream, signal } = mailbox(t, {
    deposit: async (_, deposits) => deposits.map(() => ({ ...stored, status: Status.ALREADY_THERE })),
  });
  const mail = depositor({ openStream, signal });
  assert.deepEqual(await mail.deposit(request(1)), { status: 'already-there', keptUntilMs: 99 });
});

test('what can never be accepted is refused before it is sent', async (t) => {
  const { openStream, streams, signal } = mailbox(t);
  const mail = depositor({ openStream, signal });
  const large = new Uint8Array(MAX_BLOB_BYTES + 1);
  await assert.rejects(mail.deposit({ ...request(1), blob: large }), { code: 'too-large' });
  for (const expiresMs of [-1, 0.5, NaN, Infinity]) {
    await assert.rejects(mail.deposit({ ...request(1), expiresMs }), { name: 'InvalidParametersError' });
  }
  assert.deepEqual(await mail.depositAll([]), []);
  assert.equal(streams.length, 0);
});

test('many large blobs pass through the window, what is beyond the queue is told busy', async (t) => {
  const { openStream, signal } = mailbox(t);
  const mail = depositor({ openStream, signal });
  const large = new Uint8Array(MAX_BLOB_BYTES);
  const outcomes = await mail.depositAll(Array.from({ length: 66 }, () => ({ ...request(1), blob: large })));
  assert.equal(outcomes.filter((outcome) => !(outcome instanceof Error)).length, 64);
  assert.equal((outcomes[65] as MailboxError).code, 'busy');
});

test('later batches are decided while an earlier one is under commit', async (t) => {
  const waiting: (() => void)[] = [];
  const { openStream, signal } = mailbox(t, {
    deposit: async (_, deposits) => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
      return deposits.map(() => stored);
    },
  });
  const mail = depositor({ openStream, signal });
  const done: number[] = [];
  const all: Promise<unknown>[] = [];
  for (let i = 0; i < 6; i++) {
    all.push(mail.deposit(request(i)).then(() => done.push(i)));
    await eventually(() => waiting.length >= Math.min(i + 1, 4));
  }
  assert.equal(waiting.length, 4, 'no more than four at a time');
  waiting[2]!();
  await eventually(() => done.length === 1);
  assert.deepEqual(done, [2], 'answered in order of completion');
  await eventually(() => waiting.length === 5);
  while (done.length < 6) {
    for (const wake of waiting) wake();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(all);
});

test('a broken stream fails what is in flight, the next deposit opens another', async (t) => {
  const { openStream, streams, signal } = mailbox(t, {
    deposit: async (_, deposits) => {
      if (streams.length === 1) streams[0]!.abort(new Error('gone'));
      return deposits.map(() => stored);
    },
  });
  const mail = depositor({ openStream, signal });
  await assert.rejects(mail.deposit(request(1)), { name: 'StreamResetError' });
  assert.equal((await mail.deposit(request(1))).status, 'stored');
  assert.equal(streams.length, 2);
});

test('a stream that can not be opened fails what waits for it', async (t) => {
  const { openStream, signal } = mailbox(t);
  let reachable = false;
  const mail = depositor({
    openStream: () => (reachable ? openStream() : Promise.reject(new Error('no way'))),
    signal,
  });
  await assert.rejects(mail.deposit(request(1)), { message: 'no way' });
  reachable = true;
  assert.equal((await mail.deposit(request(1))).status, 'stored');
});

test('a mailbox that goes silent is given up', async (t) => {
  const { openStream, signal } = mailbox(t, { deposit: () => new Promise(() => {}) });
  const mail = depositor({ openStream, signal, answerTimeoutMs: 10 });
  await assert.rejects(mail.deposit(request(1)), { name: 'TimeoutError' });
});

test('aborting ends what waits', async (t) => {
  const { openStream } = mailbox(t, { deposit: () => new Promise(() => {}) });
  const stop = new AbortController();
  const mail = depositor({ openStream, signal: stop.signal });
  const waiting = mail.deposit(request(1));
  await eventually(() => mail.waiting === 1);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, { message: 'enough' });
  await assert.rejects(mail.deposit(request(1)), { message: 'enough' });
});

test('a mailbox that answers what was not asked is cut off', async (t) => {
  const { signal } = mailbox(t);
  const [outbound, inbound] = await streamPair();
  inbound.addEventListener('message', () => {
    const runs = answerRuns([0], [stored]).map((run) => ({ ...run, count: 0xffff_ffff }));
    void sendFrames(inbound, encodeAnswers(runs), { signal });
  });
  const mail = depositor({ openStream: async () => outbound, signal });
  assert.equal((await mail.deposit(request(1))).status, 'stored');
  await closed(inbound);
  assert.equal(inbound.status, 'reset');
});

test('a stream that ends at once fails what waits for it', async (t) => {
  const { openStream, signal } = mailbox(t);
  const mail = depositor({
    openStream: async () => {
      const stream = await openStream();
      stream.abort(new Error('ended'));
      return stream;
    },
    signal,
  });
  await assert.rejects(mail.deposit(request(1)), { name: 'StreamResetError' });
  assert.equal(mail.waiting, 0);
});

for (const [name, chunk] of [
  ['garbage', encodeFrames([Uint8Array.of(0x0a, 0xff, 0xff)])],
  ['a frame over the limit', Uint8Array.of(0xff, 0xff, 0xff, 0x7f)],
  ['a frame just over the limit', encodeFrames([new Uint8Array(MAX_CLIENT_FRAME_BYTES + 1)])],
  ['an acknowledgement out of place', encodeFrames([encodeAcknowledge(1)])],
  ['a second collect', encodeFrames([encodeCollect(), encodeCollect()])],
  ['too much acknowledged', encodeFrames([encodeCollect(), encodeAcknowledge(1)])],
  [
    'a deposit on a collect stream',
    encodeFrames([
      encodeCollect(),
      encodeDeposit({ seq: 0, recipient: blob(1), blobId: blob(1), expiresMs: 1, blob: blob(1) }),
    ]),
  ],
  [
    'a collect on a deposit stream',
    encodeFrames([
      encodeDeposit({ seq: 0, recipient: blob(1), blobId: blob(1), expiresMs: 1, blob: blob(1) }),
      encodeCollect(),
    ]),
  ],
] as const) {
  test(`${name} aborts the stream`, async (t) => {
    const { openStream, streams } = mailbox(t);
    const stream = await openStream();
    stream.send(chunk);
    await closed(stream);
    assert.equal(stream.status, 'reset');
    assert.equal(streams[0]!.status, 'aborted');
  });
}

test('a peer that says nothing, or stops in the middle of a first frame, is dropped', async (t) => {
  const { openStream } = mailbox(t, {}, 10);
  const silent = await openStream();
  const stopped = await openStream();
  stopped.send(Uint8Array.of(100, 1, 2));
  await Promise.all([closed(silent), closed(stopped)]);
  assert.equal(silent.status, 'reset');
});

test('frames of a later version are ignored, on both sides and also as first frames', async (t) => {
  const { openStream, signal } = mailbox(t);
  const unknown = Uint8Array.of(0x7a, 0);
  const stream = await openStream();
  const deposit = { seq: 7, recipient: blob(1), blobId: blob(1), expiresMs: 1, blob: blob(1) };
  await sendFrames(stream, [unknown, encodeDeposit(deposit), unknown], { signal });
  for await (const [frame] of readFrames(stream, { maxFrameBytes: 1000, signal })) {
    assert.deepEqual(decodeServerFrame(frame!), {
      type: 'answers',
      runs: [{ firstSeq: 7, count: 1, ...stored }],
    });
    break;
  }
  const [outbound, inbound] = await streamPair();
  const taken: Blob[] = [];
  const collecting = collect({
    openStream: async () => outbound,
    onBlobs: async (blobs) => void taken.push(...blobs),
    signal,
  });
  const held = { depositor: peerIdToBytes(alice), depositedAtMs: 5, blob: blob(1) };
  await sendFrames(inbound, [unknown, encodeBlob(held), unknown], { signal });
  await eventually(() => taken.length === 1);
  await inbound.close();
  await collecting;
});

test('blobs are acknowledged once they are committed, and come in order', async (t) => {
  const collection = fakeCollection();
  const { openStream, signal } = mailbox(t, { collect: () => collection });
  const taken: Blob[] = [];
  let commit: (() => void) | undefined;
  void collect({
    openStream,
    onBlobs: async (blobs) => {
      taken.push(...blobs);
      await new Promise<void>((resolve) => {
        commit = resolve;
      });
    },
    signal,
  }).catch(() => undefined);
  const depositorBytes = peerIdToBytes(bob);
  collection.give([1, 2, 3].map((i) => ({ depositor: depositorBytes, depositedAtMs: i, blob: blob(i) })));
  await eventually(() => commit !== undefined);
  assert.deepEqual(
    taken.map(({ depositedAtMs }) => depositedAtMs),
    [1, 2, 3],
  );
  assert.ok(taken[0]!.depositor.equals(bob));
  assert.deepEqual(Buffer.from(taken[2]!.blob), blob(3));
  assert.equal(collection.acknowledged, 0);
  commit!();
  await eventually(() => collection.acknowledged === 3);
});

test('what the recipient could not commit is not acknowledged', async (t) => {
  const collection = fakeCollection();
  const { openStream, signal } = mailbox(t, { collect: () => collection });
  collection.give([{ depositor: peerIdToBytes(bob), depositedAtMs: 1, blob: blob(1) }]);
  const collecting = collect({ openStream, onBlobs: () => Promise.reject(new Error('disk full')), signal });
  await assert.rejects(collecting, { message: 'disk full' });
  await eventually(() => collection.ended);
  assert.equal(collection.acknowledged, 0);
});

test('a recipient that breaks the protocol and does not read is dropped', async (t) => {
  const collection = fakeCollection();
  const { openStream, streams, signal } = mailbox(t, { collect: () => collection });
  const stream = await openStream();
  await sendFrames(stream, [encodeCollect()], { signal });
  const large = new Uint8Array(MAX_BLOB_BYTES);
  collection.give(
    Array.from({ length: 12 }, () => ({ depositor: peerIdToBytes(bob), depositedAtMs: 1, blob: large })),
  );
  await eventually(() => streams[0]!.writableNeedsDrain);
  await sendFrames(stream, [encodeCollect()], { signal });
  await closed(streams[0]!);
  assert.ok(collection.ended);
});

for (const [reason, code] of [
  [End_Reason.REPLACED, 'replaced'],
  [End_Reason.UNAVAILABLE, 'unavailable'],
  [77 as End_Reason, 'refused'],
] as const) {
  test(`a mailbox that ends a collect stream says why: ${code}`, async (t) => {
    const collection = fakeCollection();
    const { openStream, streams, signal } = mailbox(t, { collect: () => collection });
    const collecting = collect({ openStream, onBlobs: async () => {}, signal });
    await eventually(() => streams.length === 1);
    collection.endReason = reason;
    collection.end();
    await assert.rejects(collecting, { name: 'MailboxError', code });
    await closed(streams[0]!);
  });
}

test('a recipient that does not close after the end is dropped', async (t) => {
  const collection = fakeCollection();
  const { openStream, streams, signal } = mailbox(t, { collect: () => collection }, 10);
  const stream = await openStream();
  await sendFrames(stream, [encodeCollect()], { signal });
  collection.endReason = End_Reason.REPLACED;
  collection.end();
  await closed(streams[0]!);
});

test('a recipient that goes away ends its collection', async (t) => {
  const collection = fakeCollection();
  const { openStream, signal } = mailbox(t, { collect: () => collection });
  const stream = await openStream();
  await sendFrames(stream, [encodeCollect()], { signal });
  await stream.close();
  await eventually(() => collection.ended);
});

for (const [name, frame] of [
  ['garbage', Uint8Array.of(0x0a, 0xff, 0xff)],
  ['a frame over the limit', new Uint8Array(MAX_SERVER_FRAME_BYTES + 1)],
  ['no depositor', encodeBlob({ depositor: blob(1), depositedAtMs: 1, blob: blob(1) })],
  [
    'a blob over the limit',
    encodeBlob({ depositor: peerIdToBytes(bob), depositedAtMs: 1, blob: new Uint8Array(MAX_BLOB_BYTES + 1) }),
  ],
] as const) {
  test(`a mailbox that sends ${name} is cut off`, async (t) => {
    const { signal } = mailbox(t);
    const [outbound, inbound] = await streamPair();
    const collecting = collect({ openStream: async () => outbound, onBlobs: async () => {}, signal });
    void sendFrames(inbound, [frame, encodeEnd(End_Reason.REPLACED)], { signal }).catch(() => undefined);
    await assert.rejects(collecting, { name: 'InvalidMessageError' });
  });
}
