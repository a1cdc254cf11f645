import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Connection, PeerId } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import fc from 'fast-check';
import { encodeFrames } from '../framing/frames.ts';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { depositor } from './client.ts';
import { depositorsClient } from './depositors-client.ts';
import type { DepositorsClient } from './depositors-client.ts';
import {
  DepositorsRefused_Reason as Reason,
  encodeDepositorsAnswer,
  encodeDepositorsRequest,
} from './depositors-frames.ts';
import type { DepositorsAnswer, DepositorsChange } from './depositors-frames.ts';
import type { DepositorsDecisions } from './depositors-handler.ts';
import { mailboxHandler } from './handler.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import {
  decodeClientFrame,
  decodeServerFrame,
  encodeCollect,
  encodeEnd,
  End_Reason,
  MAX_CAPABILITY_BYTES,
  MAX_CLIENT_FRAME_BYTES,
  MAX_SERVER_FRAME_BYTES,
  Status,
} from './protocol.ts';
import type { Deposit } from './protocol.ts';
import { answeringMailbox, closed, lyingStreams, peer } from './single-request-fixture.ts';

const [alice, bob, carol] = await Promise.all([peer(), peer(), peer()]);

/** A mailbox over in-memory streams; without decisions, one of a version that blocks nobody. */
function mailbox(t: TestContext, set?: DepositorsDecisions['set'], answerTimeoutMs = 5000) {
  const { openStream, ...served } = answeringMailbox(
    t,
    alice,
    set === undefined ? {} : { depositors: { set } },
  );
  return { client: depositorsClient({ openStream, answerTimeoutMs }), openStream, ...served };
}

/** A mailbox that sends a client some frames whatever it asks. */
function liar(t: TestContext, ...frames: Uint8Array[]) {
  const { openStream, signal } = lyingStreams(t, frames);
  return { client: depositorsClient({ openStream }), signal };
}

/** Both requests. */
const BOTH = {
  block: (client: DepositorsClient, signal: AbortSignal) => client.block([bob], { atMs: 5, signal }),
  unblock: (client: DepositorsClient, signal: AbortSignal) => client.unblock([bob], { signal }),
};

void test('an owner blocks and unblocks', async (t) => {
  const asked: DepositorsChange[] = [];
  const { client, signal, streams } = mailbox(t, async (owner, change) => {
    assert.ok(owner.equals(alice));
    asked.push(change);
    return { type: 'depositors-set', blocked: 3 - asked.length };
  });
  assert.deepEqual(await client.block([bob, carol], { atMs: 77, signal }), { blocked: 2 });
  assert.deepEqual(await client.unblock([bob], { signal }), { blocked: 1 });
  const bytes = [bob, carol].map((peer) => new Uint8Array(peerIdToBytes(peer)));
  assert.deepEqual(
    asked.map(({ block, unblock, atMs }) => [block.map(copy), unblock.map(copy), atMs]),
    [
      [bytes, [], 77],
      [[], [bytes[0]], 0],
    ],
  );
  await closed(streams[0]!);
  assert.equal(streams[0]!.status, 'closed');
});
const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

void test('a thousand go in one request, more are not sent', async (t) => {
  const { client, signal, streams } = mailbox(t, async (_, { block }) => {
    return { type: 'depositors-set', blocked: block.length };
  });
  const many = Array.from({ length: 1001 }, () => bob);
  assert.deepEqual(await client.block(many.slice(1), { atMs: 1, signal }), { blocked: 1000 });
  await assert.rejects(client.block(many, { atMs: 1, signal }), { name: 'InvalidParametersError' });
  await assert.rejects(client.unblock(many, { signal }), { name: 'InvalidParametersError' });
  for (const atMs of [-1, 0.5, Number.NaN]) {
    await assert.rejects(client.block([bob], { atMs, signal }), { name: 'InvalidParametersError' });
  }
  assert.equal(streams.length, 1);
});

void test('every refusal is an error with a code', async (t) => {
  let refusal: DepositorsAnswer;
  const { client, signal } = mailbox(t, async () => refusal);
  for (const [reason, code] of [
    [Reason.RATE_LIMITED, 'rate-limited'],
    [Reason.MALFORMED, 'malformed'],
    [Reason.FULL, 'full'],
    [Reason.UNAVAILABLE, 'unavailable'],
    [Reason.UNSPECIFIED, 'refused'],
    [77 as Reason, 'refused'],
  ] as const) {
    for (const ask of Object.values(BOTH)) {
      refusal = { type: 'depositors-refused', reason, retryAfterMs: 7, detail: 'block: no' };
      const error = { name: 'MailboxError', code, retryAfterMs: 7, message: 'block: no' };
      await assert.rejects(ask(client, signal), error);
      refusal = { ...refusal, detail: '' };
      await assert.rejects(ask(client, signal), ({ message }: Error) => message !== '');
    }
  }
});

void test('requests that arrive together are done one after the other', async (t) => {
  let under = 0;
  const { openStream, signal } = mailbox(t, async (_, { atMs }) => {
    assert.equal(under++, 0);
    await new Promise((resolve) => setImmediate(resolve));
    under--;
    return { type: 'depositors-set', blocked: atMs };
  });
  const stream = await openStream();
  const request = (atMs: number): Uint8Array =>
    encodeDepositorsRequest({ type: 'set-depositors', change: { block: [], unblock: [], atMs } });
  // Between them a body of a later version.
  await sendFrames(stream, [request(1), Uint8Array.of(0x7a, 0), request(2)], { signal });
  await stream.close();
  const answers: unknown[] = [];
  for await (const batch of readFrames(stream, { maxFrameBytes: MAX_SERVER_FRAME_BYTES, signal })) {
    answers.push(...batch.map(decodeServerFrame));
  }
  assert.deepEqual(answers, [
    { type: 'depositors-set', blocked: 1 },
    { type: 'depositors-set', blocked: 2 },
  ]);
});

void test('a mailbox of a version that blocks nobody is found out at once', async (t) => {
  const { client, signal } = mailbox(t);
  for (const ask of Object.values(BOTH)) {
    await assert.rejects(ask(client, signal), { name: 'MailboxError', code: 'unsupported' });
  }
});

void test('a mailbox that goes silent is given up', async (t) => {
  const { client, signal } = mailbox(t, () => new Promise(() => {}), 10);
  await assert.rejects(client.block([bob], { atMs: 1, signal }), { name: 'TimeoutError' });
});

const request = encodeDepositorsRequest({
  type: 'set-depositors',
  change: { block: [], unblock: [], atMs: 1 },
});
for (const [name, chunk] of [
  ['garbage', encodeFrames([request, Uint8Array.of(0x3a, 0xff, 0xff)])],
  ['a frame over the limit', encodeFrames([new Uint8Array(MAX_CLIENT_FRAME_BYTES + 1)])],
  ['a collect on a depositors stream', encodeFrames([request, encodeCollect()])],
  ['a deposit on a depositors stream', encodeFrames([request, Uint8Array.of(0x0a, 0)])],
] as const) {
  void test(`${name} aborts the stream`, async (t) => {
    const { openStream, streams } = mailbox(t, async () => ({ type: 'depositors-set', blocked: 0 }));
    const stream = await openStream();
    stream.send(chunk);
    await closed(stream);
    assert.equal(streams[0]!.status, 'aborted');
  });
}

for (const [name, frame] of [
  ['garbage', Uint8Array.of(0x42, 0xff, 0xff)],
  ['a frame over the limit', new Uint8Array(MAX_SERVER_FRAME_BYTES + 1)],
  ['the end of another kind of stream', encodeEnd(End_Reason.REPLACED)],
] as const) {
  void test(`a mailbox that answers with ${name} breaks the protocol`, async (t) => {
    const { client, signal } = liar(t, frame);
    await assert.rejects(client.unblock([bob], { signal }), { name: 'InvalidMessageError' });
  });
}

void test('what is encoded is decoded', () => {
  const bytes = fc.uint8Array({ maxLength: 50 });
  const someBytes = fc.array(bytes, { maxLength: 5 });
  fc.assert(
    fc.property(someBytes, someBytes, fc.maxSafeNat(), (block, unblock, atMs) => {
      const asked = { type: 'set-depositors', change: { block, unblock, atMs } } as const;
      assert.deepEqual(decodeClientFrame(encodeDepositorsRequest(asked)), asked);
    }),
  );
  fc.assert(
    fc.property(fc.nat({ max: 6 }), fc.nat(), fc.string(), (number, retryAfterMs, detail) => {
      const reason = number as Reason;
      const refused = { type: 'depositors-refused', reason, retryAfterMs, detail } as const;
      assert.deepEqual(decodeServerFrame(encodeDepositorsAnswer(refused)), refused);
      const set = { type: 'depositors-set', blocked: retryAfterMs } as const;
      assert.deepEqual(decodeServerFrame(encodeDepositorsAnswer(set)), set);
    }),
  );
});

void test('a capability comes with each deposit it is for, and goes over the wire once', async (t) => {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const got: Deposit[] = [];
  let sentBytes = 0;
  const serve = mailboxHandler(
    {
      async deposit(_, deposits) {
        got.push(...deposits);
        return deposits.map(() => ({
          status: Status.REFUSED,
          keptUntilMs: 0,
          retryAfterMs: 0,
          detail: 'no',
        }));
      },
      collect: () => assert.fail('not asked for'),
    },
    { signal: stop.signal },
  );
  const { deposit, depositAll } = depositor({
    async openStream() {
      const [outbound, inbound] = await streamPair();
      inbound.addEventListener('message', ({ data }) => (sentBytes += data.byteLength));
      void serve(inbound, { remotePeer: alice } as Connection);
      return outbound;
    },
    signal: stop.signal,
  });
  const capability = new Uint8Array(119).fill(7);
  const other = new Uint8Array(119).fill(8);
  const blob = Uint8Array.of(1);
  const to = (recipient: PeerId, mine?: Uint8Array) => ({
    recipient,
    blob,
    expiresMs: 1,
    ...(mine !== undefined && { capability: mine }),
  });
  const outcomes = await depositAll([
    to(bob, capability),
    to(bob, Uint8Array.from(capability)),
    to(carol, other),
    to(carol),
    to(bob, capability),
    to(bob, other),
  ]);
  assert.ok(
    outcomes.every((outcome) => outcome instanceof Error && 'code' in outcome && outcome.code === 'refused'),
  );
  assert.deepEqual(
    got.map(({ capability }) => [capability.byteLength, capability[0]]),
    [
      [119, 7],
      [119, 7],
      [119, 8],
      [119, 8],
      [119, 7],
      [119, 8],
    ],
  );
  const before = sentBytes;
  await depositAll(Array.from({ length: 100 }, () => to(bob, other)));
  assert.ok(sentBytes - before < 100 * 100);
  assert.deepEqual(got.at(-1)!.capability, other);
  await assert.rejects(deposit(to(bob, new Uint8Array(MAX_CAPABILITY_BYTES + 1))), {
    name: 'InvalidParametersError',
  });
});
