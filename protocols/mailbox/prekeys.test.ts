import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Connection } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import { encodeFrames } from '../framing/frames.ts';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { MailboxError } from './errors.ts';
import { mailboxHandler } from './handler.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import {
  encodePrekeyAnswer,
  encodePrekeyRequest,
  MAX_PREKEY_BYTES,
  PrekeysRefused_Reason as Reason,
} from './prekey-frames.ts';
import type { HeldPrekey, PrekeyRefusal, PrekeysCountedAnswer } from './prekey-frames.ts';
import { prekeysClient } from './prekeys-client.ts';
import type { PrekeysClient } from './prekeys-client.ts';
import type { PrekeyDecisions } from './prekeys-handler.ts';
import {
  decodeServerFrame,
  encodeAcknowledge,
  encodeCollect,
  encodeEnd,
  End_Reason,
  MAX_CLIENT_FRAME_BYTES,
  MAX_SERVER_FRAME_BYTES,
} from './protocol.ts';
import { answeringMailbox, closed, lyingStreams, peer } from './single-request-fixture.ts';

const alice = await peer();
const bob = await peer();
const prekey = (number: number, length = 10): HeldPrekey => ({
  id: new Uint8Array(16).fill(number),
  expiresMs: 99,
  prekey: new Uint8Array(length).fill(number),
});

/** Decisions that nobody asked a test for. */
const unasked: PrekeyDecisions = {
  publish: () => assert.fail('not asked for'),
  take: () => assert.fail('not asked for'),
  count: () => assert.fail('not asked for'),
};

/** A mailbox over in-memory streams; without decisions, one of a version without prekeys. */
function mailbox(t: TestContext, decisions?: Partial<PrekeyDecisions>, answerTimeoutMs = 5000) {
  const prekeys = decisions === undefined ? undefined : { ...unasked, ...decisions };
  const { openStream, ...served } = answeringMailbox(t, alice, prekeys === undefined ? {} : { prekeys });
  return { client: prekeysClient({ openStream, answerTimeoutMs }), openStream, ...served };
}

/** A mailbox that sends a client some frames whatever it asks. */
function liar(t: TestContext, ...frames: Uint8Array[]) {
  const { openStream, signal } = lyingStreams(t, frames);
  return { client: prekeysClient({ openStream }), signal };
}

/** All three requests. */
const ALL = {
  publish: (client: PrekeysClient, signal: AbortSignal) =>
    client.publish({ oneTime: [prekey(1)] }, { signal }),
  take: (client: PrekeysClient, signal: AbortSignal) => client.take(bob, { signal }),
  count: (client: PrekeysClient, signal: AbortSignal) => client.count({ signal }),
};

test('an owner publishes', async (t) => {
  const { client, signal, streams } = mailbox(t, {
    publish: async (owner, { oneTime, lastResort, replace }) => {
      assert.ok(owner.equals(alice));
      assert.deepEqual(oneTime, [prekey(1), prekey(2, MAX_PREKEY_BYTES)]);
      assert.deepEqual(lastResort, prekey(3));
      assert.equal(replace, true);
      return { type: 'prekeys-published', left: 2 };
    },
  });
  const oneTime = [prekey(1), prekey(2, MAX_PREKEY_BYTES)];
  assert.deepEqual(await client.publish({ oneTime, lastResort: prekey(3), replace: true }, { signal }), {
    left: 2,
  });
  await closed(streams[0]!);
  assert.equal(streams[0]!.status, 'closed');
});

test('a hundred of the largest prekeys go in one request', async (t) => {
  const { client, signal } = mailbox(t, {
    publish: async (_, { oneTime, lastResort }) => {
      assert.equal(lastResort?.prekey.byteLength, MAX_PREKEY_BYTES);
      return { type: 'prekeys-published', left: oneTime.length };
    },
  });
  const oneTime = Array.from({ length: 100 }, (_, number) => prekey(number, MAX_PREKEY_BYTES));
  const lastResort = prekey(100, MAX_PREKEY_BYTES);
  assert.equal((await client.publish({ oneTime, lastResort }, { signal })).left, 100);
});

test('anybody takes', async (t) => {
  let taken = 0;
  const { client, signal } = mailbox(t, {
    take: async (taker, recipient) => {
      assert.ok(taker.equals(alice));
      assert.deepEqual(Buffer.from(recipient), Buffer.from(peerIdToBytes(bob)));
      return { type: 'prekey-taken', prekey: prekey(7), lastResort: taken++ > 0 };
    },
  });
  assert.deepEqual(await client.take(bob, { signal }), { ...prekey(7), lastResort: false });
  assert.deepEqual(await client.take(bob, { signal }), { ...prekey(7), lastResort: true });
});

test('an owner counts', async (t) => {
  const stocks = [
    { oneTimeIds: [prekey(1).id, prekey(2).id], lastResortId: prekey(3).id },
    { oneTimeIds: [], lastResortId: undefined },
  ];
  const { client, signal } = mailbox(t, {
    count: async (owner) => {
      assert.ok(owner.equals(alice));
      return { type: 'prekeys-counted', ...stocks.shift()! };
    },
  });
  assert.deepEqual(await client.count({ signal }), {
    oneTimeIds: [prekey(1).id, prekey(2).id],
    lastResortId: prekey(3).id,
  });
  assert.deepEqual(await client.count({ signal }), { oneTimeIds: [], lastResortId: null });
});

test('every refusal of every request is an error with a code', async (t) => {
  const refusals: [Reason, string][] = [
    [Reason.NONE, 'no-prekey'],
    [Reason.RATE_LIMITED, 'rate-limited'],
    [Reason.MALFORMED, 'malformed'],
    [Reason.EXPIRED, 'expired'],
    [Reason.FULL, 'full'],
    [Reason.UNAVAILABLE, 'unavailable'],
    [Reason.UNSPECIFIED, 'refused'],
    [77 as Reason, 'refused'],
  ];
  let refusal: PrekeyRefusal;
  const refuse = async () => refusal;
  const { client, signal } = mailbox(t, { publish: refuse, take: refuse, count: refuse });
  for (const [reason, code] of refusals) {
    for (const ask of Object.values(ALL)) {
      refusal = { type: 'prekeys-refused', reason, retryAfterMs: 7, detail: 'id: no' };
      await assert.rejects(ask(client, signal), {
        name: 'MailboxError',
        code,
        retryAfterMs: 7,
        message: 'id: no',
      });
      refusal = { ...refusal, detail: '' };
      await assert.rejects(
        ask(client, signal),
        (error) => error instanceof MailboxError && error.message !== '',
      );
    }
  }
});

test('what no mailbox takes is refused before it is sent', async (t) => {
  const { client, streams, signal } = mailbox(t, {});
  for (const bad of [
    { ...prekey(1), id: new Uint8Array(15) },
    { ...prekey(1), prekey: new Uint8Array(0) },
    prekey(1, MAX_PREKEY_BYTES + 1),
    { ...prekey(1), expiresMs: -1 },
    { ...prekey(1), expiresMs: 0.5 },
  ]) {
    await assert.rejects(client.publish({ oneTime: [bad] }, { signal }), { name: 'InvalidParametersError' });
    await assert.rejects(client.publish({ lastResort: bad }, { signal }), { name: 'InvalidParametersError' });
  }
  const oneTime = Array.from({ length: 101 }, (_, number) => prekey(number));
  await assert.rejects(client.publish({ oneTime }, { signal }), { name: 'InvalidParametersError' });
  assert.equal(streams.length, 0);
});

test('requests that arrive together are answered in the order of asking', async (t) => {
  let publishing: (() => void) | undefined;
  const { openStream, signal } = mailbox(t, {
    publish: async () => {
      await new Promise<void>((resolve) => {
        publishing = resolve;
      });
      return { type: 'prekeys-published', left: 1 };
    },
    take: async () => {
      publishing!();
      return { type: 'prekey-taken', prekey: prekey(1), lastResort: false };
    },
  });
  const stream = await openStream();
  const publication = { oneTime: [prekey(1)], lastResort: undefined, replace: false };
  await sendFrames(
    stream,
    [
      encodePrekeyRequest({ type: 'publish-prekeys', publication }),
      encodePrekeyRequest({ type: 'take-prekey', recipient: peerIdToBytes(bob) }),
      // A body of a later version.
      Uint8Array.of(0x7a, 0),
    ],
    { signal },
  );
  await stream.close();
  const answers: unknown[] = [];
  for await (const batch of readFrames(stream, { maxFrameBytes: MAX_SERVER_FRAME_BYTES, signal })) {
    answers.push(...batch.map((bytes) => decodeServerFrame(bytes)?.type));
  }
  assert.deepEqual(answers, ['prekeys-published', 'prekey-taken']);
});

test('a mailbox of a version without prekeys is found out at once', async (t) => {
  const { client, signal } = mailbox(t);
  for (const ask of Object.values(ALL)) {
    await assert.rejects(ask(client, signal), { name: 'MailboxError', code: 'unsupported' });
  }
});

test('a mailbox that goes silent is given up', async (t) => {
  const { client, signal } = mailbox(t, { count: () => new Promise(() => {}) }, 10);
  await assert.rejects(client.count({ signal }), { name: 'TimeoutError' });
});

test('who no longer wants to know stops waiting', async (t) => {
  const stop = new AbortController();
  const { client } = mailbox(t, {
    count: () => {
      stop.abort(new Error('enough'));
      return new Promise(() => {});
    },
  });
  await assert.rejects(client.count({ signal: stop.signal }), { message: 'enough' });
});

const request = encodePrekeyRequest({ type: 'count-prekeys' });
for (const [name, chunk] of [
  ['garbage', encodeFrames([request, Uint8Array.of(0x22, 0xff, 0xff)])],
  ['a frame over the limit', Buffer.concat([encodeFrames([request]), Uint8Array.of(0xff, 0xff, 0xff, 0x7f)])],
  ['a frame just over the limit', encodeFrames([new Uint8Array(MAX_CLIENT_FRAME_BYTES + 1)])],
  ['a collect on a prekey stream', encodeFrames([request, encodeCollect()])],
  ['an acknowledgement on a prekey stream', encodeFrames([request, encodeAcknowledge(1)])],
] as const) {
  test(`${name} aborts the stream`, async (t) => {
    const { openStream, streams } = mailbox(t, {
      count: async () => ({ type: 'prekeys-counted', oneTimeIds: [], lastResortId: undefined }),
    });
    const stream = await openStream();
    stream.send(chunk);
    await closed(stream);
    assert.equal(stream.status, 'reset');
    assert.equal(streams[0]!.status, 'aborted');
  });
}

test('a request about prekeys on a collect stream aborts it', async (t) => {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const [outbound, inbound] = await streamPair();
  const collection = {
    async *batches() {
      // Nothing waits.
    },
    acknowledge: () => undefined,
    end: () => undefined,
    endReason: undefined,
  };
  void mailboxHandler(
    { deposit: () => assert.fail('not asked for'), collect: () => collection },
    { signal: stop.signal, prekeys: unasked },
  )(inbound, { remotePeer: alice } as Connection);
  outbound.send(encodeFrames([encodeCollect(), request]));
  await closed(outbound);
  assert.equal(inbound.status, 'aborted');
});

test('a peer that stops in the middle of a request is dropped', async (t) => {
  const { openStream } = mailbox(t, {});
  const stream = await openStream();
  stream.send(Uint8Array.of(100, 0x22));
  await closed(stream);
  assert.equal(stream.status, 'reset');
});

const counted = (fields: Partial<PrekeysCountedAnswer>): Uint8Array =>
  encodePrekeyAnswer({ type: 'prekeys-counted', oneTimeIds: [], lastResortId: undefined, ...fields });
const taken = (held: HeldPrekey): Uint8Array =>
  encodePrekeyAnswer({ type: 'prekey-taken', prekey: held, lastResort: false });
for (const [name, ask, frame] of [
  ['garbage', 'count', Uint8Array.of(0x0a, 0xff, 0xff)],
  ['a frame over the limit', 'count', new Uint8Array(MAX_SERVER_FRAME_BYTES + 1)],
  ['the end of another kind of stream', 'count', encodeEnd(End_Reason.REPLACED)],
  ['the answer to a publication', 'take', encodePrekeyAnswer({ type: 'prekeys-published', left: 1 })],
  ['a prekey to who published', 'publish', taken(prekey(1))],
  ['a prekey to who counted', 'count', taken(prekey(1))],
  ['no prekey', 'take', Uint8Array.of(0x2a, 0)],
  ['an empty prekey', 'take', taken(prekey(1, 0))],
  ['a prekey over the limit', 'take', taken(prekey(1, MAX_PREKEY_BYTES + 1))],
  ['a prekey with a short id', 'take', taken({ ...prekey(1), id: new Uint8Array(15) })],
  ['half an id', 'count', counted({ oneTimeIds: [new Uint8Array(8)] })],
  ['a long id of the last-resort prekey', 'count', counted({ lastResortId: new Uint8Array(17) })],
] as const) {
  test(`a mailbox that sends ${name} breaks the protocol`, async (t) => {
    const { client, signal } = liar(t, frame);
    await assert.rejects(ALL[ask](client, signal), { name: 'InvalidMessageError' });
  });
}

test('what a later version says before the answer is ignored', async (t) => {
  const { client, signal } = liar(t, Uint8Array.of(0x7a, 0), counted({ lastResortId: prekey(3).id }));
  assert.deepEqual((await client.count({ signal })).lastResortId, prekey(3).id);
});
