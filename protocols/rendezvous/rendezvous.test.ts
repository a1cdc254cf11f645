import { RENDEZVOUS_LIMITS } from './limits.ts';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PeerId, PrivateKey, Stream } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { streamPair } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import fc from 'fast-check';
import { encodeFrames } from '../framing/frames.ts';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { rendezvousClient } from './client.ts';
import type { RendezvousClient } from './client.ts';
import { REFUSAL_STATUS, refusalCode, RendezvousRefusedError } from './errors.ts';
import type { RendezvousRefusalCode } from './errors.ts';
import { rendezvousHandler } from './handler.ts';
import type { RendezvousDecisions } from './handler.ts';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './protocol.ts';
import type { EncodedRegistration, RendezvousRequest, RendezvousResponse } from './protocol.ts';

const HOUR_SECONDS = 3600;
const ADDRESS = multiaddr('/ip4/192.0.2.1/tcp/4001');

async function sealRecord(about: PrivateKey, signer = about): Promise<Uint8Array> {
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(about),
    multiaddrs: [ADDRESS],
    seqNumber: 7n,
  });
  return (await RecordEnvelope.seal(record, signer)).marshal();
}

const key = await generateKeyPair('Ed25519');
const peerId = peerIdFromPrivateKey(key);
const otherKey = await generateKeyPair('Ed25519');
const record = await sealRecord(key);

/** Keeps registrations in a list; the cookie is the length it had. */
function listDecisions(entries: EncodedRegistration[] = []): RendezvousDecisions {
  return {
    allows: () => true,
    register: async ({ namespace, signedPeerRecord, ttlSeconds }) => {
      entries.push({ namespace, signedPeerRecord, ttlSeconds });
      return { ttlSeconds };
    },
    unregister: async (_peerId, namespace) => {
      entries.splice(0, entries.length, ...entries.filter((entry) => entry.namespace !== namespace));
    },
    discover: async ({ namespace, limit, cookie }) => {
      const from = cookie?.[0] ?? 0;
      const registrations = entries
        .filter((entry) => namespace === undefined || entry.namespace === namespace)
        .slice(from, from + limit);
      return { registrations, cookie: Uint8Array.of(from + registrations.length) };
    },
  };
}

function refuses(code: RendezvousRefusalCode): RendezvousDecisions {
  const refuse = () => Promise.reject(new RendezvousRefusedError('because', code));
  return { allows: () => true, register: refuse, unregister: refuse, discover: refuse };
}

interface Connected {
  client: RendezvousClient;
  openStream: () => Promise<Stream>;
  served: Promise<void>[];
  errors: Error[];
}

function connect(
  decisions: RendezvousDecisions,
  {
    signal,
    remotePeer = peerId,
    frameTimeoutMs,
  }: { signal: AbortSignal; remotePeer?: PeerId; frameTimeoutMs?: number },
): Connected {
  const served: Promise<void>[] = [];
  const errors: Error[] = [];
  const serve = rendezvousHandler(decisions, {
    signal,
    onError: (error) => errors.push(error),
    ...(frameTimeoutMs !== undefined && { frameTimeoutMs }),
  });
  const openStream = async (): Promise<Stream> => {
    const [outbound, inbound] = await streamPair();
    served.push(serve(inbound, { remotePeer }));
    return outbound;
  };
  return { client: rendezvousClient({ openStream }), openStream, served, errors };
}

const refused = (code: RendezvousRefusalCode) => (error: Error) =>
  error instanceof RendezvousRefusedError && error.code === code && error.message !== '';

/** Resolves with what ended a stream. */
async function ended(stream: Stream): Promise<string> {
  if (stream.status !== 'open') return stream.status;
  return new Promise((resolve) => {
    stream.addEventListener('close', () => resolve(stream.status));
  });
}

void test('registers, discovers page by page, unregisters', async ({ signal }) => {
  const { client, served, errors } = connect(listDecisions(), { signal });
  assert.deepEqual(await client.register('a', record, undefined, { signal }), {
    ttlSeconds: 2 * HOUR_SECONDS,
  });
  assert.deepEqual(await client.register('b', record, 3 * HOUR_SECONDS, { signal }), {
    ttlSeconds: 3 * HOUR_SECONDS,
  });

  const first = await client.discover(undefined, { limit: 1, signal });
  assert.equal(first.invalid, 0);
  assert.equal(first.peers.length, 1);
  const [found] = first.peers;
  assert.ok(found !== undefined && found.peerId.equals(peerId));
  assert.deepEqual(found.multiaddrs.map(String), [ADDRESS.toString()]);
  assert.equal(found.namespace, 'a');
  assert.equal(found.ttlSeconds, 2 * HOUR_SECONDS);
  assert.deepEqual(Buffer.from(found.signedPeerRecord), Buffer.from(record));

  const second = await client.discover(undefined, { cookie: first.cookie, signal });
  assert.deepEqual(
    second.peers.map(({ namespace }) => namespace),
    ['b'],
  );

  await client.unregister('a', { signal });
  const third = await client.discover('a', { signal });
  assert.deepEqual(third.peers, []);
  await Promise.all(served);
  assert.deepEqual(errors, []);
});

void test('a stream carries several requests, answered in order', async ({ signal }) => {
  const { openStream } = connect(listDecisions(), { signal });
  const stream = await openStream();
  await sendFrames(
    stream,
    [
      encodeRequest({ type: 'register', namespace: 'a', signedPeerRecord: record }),
      encodeRequest({ type: 'unregister', namespace: 'a' }),
      encodeRequest({ type: 'discover', namespace: 'a' }),
      encodeRequest({ type: 'register', namespace: '', signedPeerRecord: record }),
    ],
    { signal },
  );
  await stream.close({ signal });
  const answers: RendezvousResponse[] = [];
  for await (const frames of readFrames(stream, { signal, maxFrameBytes: 1024 })) {
    answers.push(...frames.map(decodeResponse));
  }
  assert.equal(answers.length, 3);
  assert.deepEqual(answers[0], { type: 'register-response', ttlSeconds: 2 * HOUR_SECONDS });
  assert.ok(answers[1]?.type === 'discover-response' && 'registrations' in answers[1]);
  assert.deepEqual(answers[1].registrations, []);
  assert.ok(answers[2] !== undefined && 'refusal' in answers[2]);
  assert.equal(answers[2].refusal, 'invalid-namespace');
});

void test('passes every refusal on, for register and discover', async ({ signal }) => {
  for (const code of Object.keys(REFUSAL_STATUS) as RendezvousRefusalCode[]) {
    const { client } = connect(refuses(code), { signal });
    await assert.rejects(client.register('a', record, undefined, { signal }), refused(code));
    await assert.rejects(client.discover('a', { signal }), refused(code));
    await client.unregister('a', { signal });
    assert.equal(refusalCode(REFUSAL_STATUS[code]), code);
  }
  assert.equal(refusalCode(0), undefined);
  assert.throws(() => refusalCode(250 as 100), { name: 'InvalidMessageError' });
});

void test('refuses what does not keep to the spec', async ({ signal }) => {
  const { client } = connect(listDecisions(), { signal });
  const longest = 'é'.repeat(127);
  await client.register(longest, record, 72 * HOUR_SECONDS, { signal });
  const cases: [RendezvousRefusalCode, string, Uint8Array, number | undefined][] = [
    ['invalid-namespace', '', record, undefined],
    ['invalid-namespace', `${longest}é`, record, undefined],
    ['invalid-ttl', 'a', record, 0],
    ['invalid-ttl', 'a', record, 2 * HOUR_SECONDS - 1],
    ['invalid-ttl', 'a', record, 72 * HOUR_SECONDS + 1],
    ['invalid-ttl', 'a', record, Number.MAX_SAFE_INTEGER],
    ['invalid-signed-peer-record', 'a', new Uint8Array(0), undefined],
    [
      'invalid-signed-peer-record',
      'a',
      new Uint8Array(RENDEZVOUS_LIMITS.maxSignedPeerRecordBytes + 1),
      undefined,
    ],
    ['invalid-signed-peer-record', 'a', record.map((byte) => byte ^ 1), undefined],
    ['invalid-signed-peer-record', 'a', record.with(record.length - 1, record.at(-1)! ^ 1), undefined],
    // Signed by the one, about the other.
    ['invalid-signed-peer-record', 'a', await sealRecord(key, otherKey), undefined],
    // Whole and true, but not this connection's.
    ['not-authorized', 'a', await sealRecord(otherKey), undefined],
  ];
  for (const [code, namespace, signedPeerRecord, ttlSeconds] of cases) {
    await assert.rejects(client.register(namespace, signedPeerRecord, ttlSeconds, { signal }), refused(code));
  }
  await assert.rejects(client.discover(`${longest}é`, { signal }), refused('invalid-namespace'));
});

void test('an envelope for another purpose is no peer record', async ({ signal }) => {
  const { client } = connect(listDecisions(), { signal });
  const record = new PeerRecord({ peerId, multiaddrs: [ADDRESS] });
  record.codec = Uint8Array.of(3, 2);
  const sealed = (await RecordEnvelope.seal(record, key)).marshal();
  await assert.rejects(
    client.register('a', sealed, undefined, { signal }),
    refused('invalid-signed-peer-record'),
  );
});

void test('a peer that asks too often is told so before its record is looked at', async ({ signal }) => {
  const { client } = connect({ ...listDecisions(), allows: (peer) => !peer.equals(peerId) }, { signal });
  const garbage = Uint8Array.of(1);
  await assert.rejects(client.register('a', garbage, undefined, { signal }), refused('unavailable'));
  await assert.rejects(client.discover('a', { signal }), refused('unavailable'));
});

void test('a discovery never asks for more than the maximum', async ({ signal }) => {
  const limits: number[] = [];
  const { client } = connect(
    {
      ...listDecisions(),
      discover: async ({ limit }) => {
        limits.push(limit);
        return { registrations: [], cookie: new Uint8Array(0) };
      },
    },
    { signal },
  );
  await client.discover('a', { signal });
  await client.discover('a', { limit: 5000, signal });
  await client.discover('a', { limit: 0, signal });
  await client.discover('a', { limit: 7, signal });
  assert.deepEqual(limits, [1000, 1000, 1000, 7]);
});

void test('a fault of the point is told without its details', async ({ signal }) => {
  const fail = () => Promise.reject(new Error('secret path'));
  const { client, errors } = connect(
    { allows: () => true, register: fail, unregister: fail, discover: fail },
    { signal },
  );
  await assert.rejects(
    client.register('a', record, undefined, { signal }),
    (error: RendezvousRefusedError) => {
      return error.code === 'internal-error' && !error.message.includes('secret');
    },
  );
  await client.unregister('a', { signal });
  assert.deepEqual(
    errors.map(({ message }) => message),
    ['secret path', 'secret path'],
  );
});

void test('the client leaves out records that do not verify', async ({ signal }) => {
  const forged = await sealRecord(key, otherKey);
  const { client } = connect(
    listDecisions([
      { namespace: 'a', signedPeerRecord: forged, ttlSeconds: 1 },
      { namespace: 'a', signedPeerRecord: record, ttlSeconds: 1 },
      { namespace: 'a', signedPeerRecord: new Uint8Array(0), ttlSeconds: 1 },
    ]),
    { signal },
  );
  const page = await client.discover('a', { signal });
  assert.deepEqual(
    page.peers.map((peer) => peer.peerId.toString()),
    [peerId.toString()],
  );
  assert.equal(page.invalid, 2);
});

void test('garbage, answers, half frames and oversize frames abort the stream and nothing else', async ({
  signal,
}) => {
  const { client, openStream } = connect(listDecisions(), { signal, frameTimeoutMs: 20 });
  const oversize = new Uint8Array(RENDEZVOUS_LIMITS.maxRequestBytes + 1);
  const bad = [
    encodeFrames([Uint8Array.of(0xff, 0xff, 0xff)]),
    encodeFrames([new Uint8Array(0)]),
    encodeFrames([encodeResponse({ type: 'register-response', ttlSeconds: 1 })]),
    encodeFrames([Uint8Array.of(0x08, 0x63)]),
    encodeFrames([oversize]),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x01),
    // Begun and never finished.
    encodeFrames([encodeRequest({ type: 'discover', namespace: 'a' })]).subarray(0, 3),
  ];
  for (const bytes of bad) {
    const stream = await openStream();
    const end = ended(stream);
    stream.send(bytes);
    assert.equal(await end, 'reset');
  }
  assert.deepEqual((await client.discover('a', { signal })).peers, []);
});

void test('a point that never answers ends with the signal, one that answers wrongly with an error', async () => {
  const silent: Stream[] = [];
  const client = rendezvousClient({
    openStream: async () => {
      const [outbound, inbound] = await streamPair();
      silent.push(inbound);
      return outbound;
    },
  });
  for (const ask of [
    (signal: AbortSignal) => client.register('a', record, undefined, { signal }),
    (signal: AbortSignal) => client.unregister('a', { signal }),
    (signal: AbortSignal) => client.discover('a', { signal }),
  ]) {
    await assert.rejects(ask(AbortSignal.timeout(20)), { name: 'TimeoutError' });
  }

  const signal = AbortSignal.timeout(5000);
  const wrong = (answer: Uint8Array): RendezvousClient =>
    rendezvousClient({
      openStream: async () => {
        const [outbound, inbound] = await streamPair();
        // The client cuts off what is too long.
        sendFrames(inbound, [answer], { signal }).catch(() => undefined);
        return outbound;
      },
    });
  const answers = [
    encodeResponse({ type: 'register-response', ttlSeconds: 1 }),
    encodeRequest({ type: 'discover' }),
    Uint8Array.of(0xff),
    new Uint8Array(RENDEZVOUS_LIMITS.maxResponseBytes + 1),
    // A status of 250.
    Uint8Array.of(0x08, 4, 0x32, 3, 0x18, 0xfa, 0x01),
  ];
  for (const answer of answers) {
    await assert.rejects(wrong(answer).discover('a', { signal }), { name: 'InvalidMessageError' });
  }
  await assert.rejects(wrong(answers[0]!).unregister('a', { signal }), { name: 'InvalidMessageError' });
});

void test('the handler ends its streams with its signal', async () => {
  const stopping = new AbortController();
  const { openStream, served } = connect(listDecisions(), { signal: stopping.signal });
  const stream = await openStream();
  const end = ended(stream);
  stopping.abort(new Error('stopping'));
  assert.equal(await end, 'reset');
  await Promise.all(served);
});

void test('the worked exchange in README.md is what the codecs write', async () => {
  const readme = await readFile(new URL('./README.md', import.meta.url), 'utf8');
  const lines = readme
    .split('\n')
    .filter((line) => /^(?:client|server) /.test(line))
    .map((line) => /^\w+ ([0-9a-f ]+) /.exec(line)?.[1]?.replaceAll(' ', ''));
  const namespace = 'my-app';
  const frames = [
    encodeRequest({
      type: 'register',
      namespace,
      signedPeerRecord: Buffer.from('aabb', 'hex'),
      ttlSeconds: 7200,
    }),
    encodeResponse({ type: 'register-response', ttlSeconds: 7200 }),
    encodeRequest({ type: 'discover', namespace, limit: 10 }),
    encodeResponse({ type: 'discover-response', refusal: 'invalid-cookie', reason: 'no' }),
    encodeRequest({ type: 'unregister', namespace }),
  ];
  assert.deepEqual(
    lines,
    frames.map((frame) => Buffer.from(encodeFrames([frame])).toString('hex')),
  );
});

const bytes = fc.uint8Array({ maxLength: 40 });
const seconds = fc.nat();
const namespace = fc.string({ unit: 'binary', maxLength: 20 });
const requests: fc.Arbitrary<RendezvousRequest> = fc.oneof(
  fc.record(
    { type: fc.constant('register'), namespace, signedPeerRecord: bytes, ttlSeconds: seconds },
    { requiredKeys: ['type', 'namespace', 'signedPeerRecord'], noNullPrototype: true },
  ),
  fc.record({ type: fc.constant('unregister'), namespace }, { noNullPrototype: true }),
  fc.record(
    {
      type: fc.constant('discover'),
      namespace: fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
      limit: fc.integer({ min: 1 }),
      cookie: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    },
    { requiredKeys: ['type'], noNullPrototype: true },
  ),
);
const refusal = {
  refusal: fc.constantFrom(...(Object.keys(REFUSAL_STATUS) as RendezvousRefusalCode[])),
  reason: fc.string(),
};
const responses: fc.Arbitrary<RendezvousResponse> = fc.oneof(
  fc.record({ type: fc.constant('register-response'), ttlSeconds: seconds }, { noNullPrototype: true }),
  fc.record({ type: fc.constant('register-response'), ...refusal }, { noNullPrototype: true }),
  fc.record({ type: fc.constant('discover-response'), ...refusal }, { noNullPrototype: true }),
  fc.record(
    {
      type: fc.constant('discover-response'),
      registrations: fc.array(
        fc.record({ namespace, signedPeerRecord: bytes, ttlSeconds: seconds }, { noNullPrototype: true }),
      ),
      cookie: bytes,
    },
    { noNullPrototype: true },
  ),
);

void test('every message survives the wire', () => {
  fc.assert(
    fc.property(requests, (request) => assert.deepEqual(decodeRequest(encodeRequest(request)), request)),
  );
  fc.assert(
    fc.property(responses, (response) =>
      assert.deepEqual(decodeResponse(encodeResponse(response)), response),
    ),
  );
});

void test('no bytes bring a decoder down', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      for (const decode of [decodeRequest, decodeResponse]) {
        try {
          decode(garbage);
        } catch (error) {
          assert.equal((error as Error).name, 'InvalidMessageError');
        }
      }
    }),
  );
});

void test('what no request can have asked for is refused or cut', () => {
  const registration = { namespace: 'a', signedPeerRecord: new Uint8Array(0), ttlSeconds: 1 };
  const answer = (count: number): Uint8Array =>
    encodeResponse({
      type: 'discover-response',
      registrations: Array.from({ length: count }, () => registration),
      cookie: new Uint8Array(0),
    });
  const { maxDiscoverLimit } = RENDEZVOUS_LIMITS;
  decodeResponse(answer(maxDiscoverLimit));
  assert.throws(() => decodeResponse(answer(maxDiscoverLimit + 1)), { name: 'InvalidMessageError' });
  const refusal = decodeResponse(
    encodeResponse({ type: 'register-response', refusal: 'unavailable', reason: 'x'.repeat(100_000) }),
  );
  assert.ok('refusal' in refusal && refusal.reason.length === 200);
});
