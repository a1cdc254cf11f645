import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Connection, Ed25519PrivateKey, Stream } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { streamPair } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import fc from 'fast-check';
import { sealCard } from '../contact-card/card.ts';
import { encodeFrames } from '../framing/frames.ts';
import { request } from '../framing/request-response.ts';
import { countersign, openProposal } from './certificate.ts';
import { phonebookClient } from './client.ts';
import type { PhonebookClient } from './client.ts';
import { PhonebookError } from './errors.ts';
import { phonebookHandler } from './handler.ts';
import { AnswerSchema, RequestSchema, Status } from './phonebook_pb.ts';
import type { Answer } from './phonebook_pb.ts';
import { MAX_ANSWER_BYTES, MAX_PAGE_ENTRIES, MAX_REQUEST_BYTES } from './protocol.ts';
import type { PhonebookDecisions, PhonebookErrorCode, Refusal, ResolvedRow } from './protocol.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const TEN_YEARS_MS = 10 * 365.25 * 24 * 60 * 60 * 1000;

let bob: Ed25519PrivateKey;
let phonebook: Ed25519PrivateKey;
let peerRecord: Uint8Array;
let contactCard: Uint8Array;

before(async () => {
  [bob, phonebook] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')]);
  const record = new PeerRecord({
    peerId: peerIdFromPrivateKey(bob),
    multiaddrs: [multiaddr('/ip4/192.0.2.1/tcp/4001')],
  });
  peerRecord = (await RecordEnvelope.seal(record, bob)).marshal();
  contactCard = await sealCard(bob, card());
});

function card() {
  return { peerId: bob.publicKey.toString(), mailboxes: [], seq: 1, expiresMs: NOW_MS + 1_000_000 };
}

/** Decisions that nobody should ask, but for those given. */
function decisions(given: Partial<PhonebookDecisions>): PhonebookDecisions {
  const unexpected = (): never => assert.fail('unexpected request');
  return {
    claim: unexpected,
    renew: unexpected,
    release: unexpected,
    resolve: unexpected,
    list: unexpected,
    ...given,
  };
}

async function served(
  given: Partial<PhonebookDecisions>,
  options: { streamTimeoutMs?: number } = {},
): Promise<Stream> {
  const [outbound, inbound] = await streamPair({ delay: 0 });
  const handle = phonebookHandler({
    decisions: decisions(given),
    nowMs: () => NOW_MS,
    signal: new AbortController().signal,
    ...options,
  });
  void handle(inbound, { remotePeer: peerIdFromPrivateKey(bob) } as Connection);
  return outbound;
}

function client(given: Partial<PhonebookDecisions>, nowMs = NOW_MS): PhonebookClient {
  return phonebookClient({
    openStream: () => served(given),
    phonebook: phonebook.publicKey.toString(),
    nowMs: () => nowMs,
  });
}

function options(): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(5000) };
}

async function certificateOf(name: string, owner = bob, authority = phonebook): Promise<Uint8Array> {
  let certificate = new Uint8Array();
  const accept: PhonebookDecisions['claim'] = async (_peer, proposal) => {
    certificate = Uint8Array.from(await countersign(authority, await openProposal(proposal)));
    return { status: 'ok', certificate, intervalMs: 1 };
  };
  await phonebookClient({
    openStream: () => served({ claim: accept }),
    phonebook: authority.publicKey.toString(),
    nowMs: () => NOW_MS,
  }).claim({ name, privateKey: owner, peerRecord, contactCard, listed: true }, options());
  return certificate;
}

function row(changes: Partial<ResolvedRow> = {}): ResolvedRow {
  const peerId = bob.publicKey.toString();
  return {
    peerId,
    name: null,
    online: true,
    lastSeenMs: NOW_MS,
    certificate: null,
    peerRecord: null,
    contactCard: null,
    ...changes,
  };
}

void test('claim: the phonebook gets the proposal, the owner a certificate', async () => {
  let listed: boolean | undefined;
  const claim: PhonebookDecisions['claim'] = async (peerId, proposal, presence) => {
    const opened = await openProposal(proposal);
    assert.equal(peerId, bob.publicKey.toString());
    assert.equal(opened.owner, peerId);
    assert.deepEqual(Buffer.from(presence.contactCard), Buffer.from(contactCard));
    assert.deepEqual(Buffer.from(presence.peerRecord), Buffer.from(peerRecord));
    assert.equal(presence.timeMs, NOW_MS);
    listed = presence.listed;
    return { status: 'ok', certificate: await countersign(phonebook, opened), intervalMs: 30_000 };
  };
  const claimed = await client({ claim }).claim(
    { name: 'Bob', privateKey: bob, peerRecord, contactCard, listed: false },
    options(),
  );
  assert.equal(claimed.certificate.name, 'bob');
  assert.equal(claimed.certificate.seq, 1);
  assert.equal(claimed.intervalMs, 30_000);
  assert.equal(listed, false);
});

void test('claim: a stale seq is claimed again with the next one, once', async () => {
  const seqs: number[] = [];
  const claim: PhonebookDecisions['claim'] = async (_peer, proposal) => {
    const opened = await openProposal(proposal);
    seqs.push(opened.seq);
    if (opened.seq < 9) return { status: 'stale-seq', currentSeq: 8 };
    return { status: 'ok', certificate: await countersign(phonebook, opened), intervalMs: 1 };
  };
  const wanted = { name: 'bob', privateKey: bob, peerRecord, contactCard, listed: true };
  const { certificate } = await client({ claim }).claim(wanted, options());
  assert.equal(certificate.seq, 9);
  assert.deepEqual(seqs, [1, 9]);

  const always: PhonebookDecisions['claim'] = async () => ({ status: 'stale-seq', currentSeq: 8 });
  await assert.rejects(client({ claim: always }).claim(wanted, options()), { code: 'stale-seq' });
});

void test('claim: a certificate that is not the one asked for is refused', async () => {
  const other = await certificateOf('other');
  const claim: PhonebookDecisions['claim'] = async () => ({
    status: 'ok',
    certificate: other,
    intervalMs: 1,
  });
  await assert.rejects(
    client({ claim }).claim(
      { name: 'bob', privateKey: bob, peerRecord, contactCard, listed: true },
      options(),
    ),
    { name: 'InvalidMessageError' },
  );
});

void test('claim: an invalid name is refused before anything is sent', async () => {
  await assert.rejects(
    client({}).claim({ name: 'pаypal', privateKey: bob, peerRecord, contactCard, listed: true }, options()),
    { name: 'InvalidNameError' },
  );
});

void test('renew: with a name and without', async () => {
  const ownName = { name: 'bob', seq: 3, expiresMs: NOW_MS + 1 };
  const presence = { peerRecord, contactCard, listed: true };
  const named = client({ renew: async () => ({ status: 'ok', intervalMs: 30_000, ownName }) });
  assert.deepEqual(await named.renew(presence, options()), { intervalMs: 30_000, ownName, clockAheadMs: 0 });
  const unnamed = client({ renew: async () => ({ status: 'ok', intervalMs: 5, ownName: null }) }, NOW_MS + 7);
  assert.deepEqual(await unnamed.renew(presence, options()), {
    intervalMs: 5000,
    ownName: null,
    clockAheadMs: 7,
  });
});

void test('release', async () => {
  const released: unknown[] = [];
  const release: PhonebookDecisions['release'] = async (...given) => {
    released.push(given);
    return { status: 'ok' };
  };
  await client({ release }).release({ name: 'BOB', seq: 4 }, options());
  assert.deepEqual(released, [[bob.publicKey.toString(), 'bob', 4]]);
});

void test('resolve: by name and by peer id', async () => {
  const certificate = await certificateOf('bob');
  const found = row({ name: 'bob', certificate, peerRecord, contactCard });
  const resolved = await client({ resolve: async () => ({ status: 'ok', row: found }) }).resolve(
    { name: 'Bob' },
    options(),
  );
  assert.equal(resolved.peerId, bob.publicKey.toString());
  assert.equal(resolved.name, 'bob');
  assert.equal(resolved.certificate?.name, 'bob');
  assert.deepEqual(resolved.multiaddrs, ['/ip4/192.0.2.1/tcp/4001']);
  assert.deepEqual(resolved.contactCard, card());

  const bare = client({ resolve: async () => ({ status: 'ok', row: row({ online: false }) }) });
  assert.deepEqual(await bare.resolve({ peerId: bob.publicKey.toString() }, options()), {
    peerId: bob.publicKey.toString(),
    name: null,
    online: false,
    lastSeenMs: NOW_MS,
    certificate: null,
    certificateBytes: null,
    multiaddrs: [],
    contactCard: null,
    contactCardBytes: null,
  });
});

void test('resolve: a phonebook that lies is found out', async () => {
  const eve = await generateKeyPair('Ed25519');
  const evesPeerId = eve.publicKey.toString();
  const bobs = await certificateOf('bob');
  const key = { name: 'bob' };
  const lies: [ResolvedRow, { name: string } | { peerId: string }][] = [
    [row({ name: 'bob' }), key],
    [row({ certificate: await certificateOf('bobby') }), key],
    [row({ peerId: evesPeerId, certificate: bobs }), key],
    [row({ certificate: await certificateOf('bob', bob, eve) }), key],
    [row({ peerId: evesPeerId }), { peerId: bob.publicKey.toString() }],
    [row({ peerId: evesPeerId, peerRecord }), { peerId: evesPeerId }],
    [row({ peerId: evesPeerId, contactCard }), { peerId: evesPeerId }],
  ];
  for (const [lie, asked] of lies) {
    const liar = client({ resolve: async () => ({ status: 'ok', row: lie }) });
    await assert.rejects(liar.resolve(asked, options()), { name: 'InvalidMessageError' });
  }
  const garbage = client({
    resolve: async () => ({ status: 'ok', row: row({ certificate: Buffer.from('no') }) }),
  });
  await assert.rejects(garbage.resolve(key, options()), { code: 'malformed' });
});

void test('resolve: a contact card that ran out is as none, a clock that is behind is said', async () => {
  const found = row({ contactCard });
  const resolve: PhonebookDecisions['resolve'] = async () => ({ status: 'ok', row: found });
  const key = { peerId: bob.publicKey.toString() };
  assert.equal((await client({ resolve }, NOW_MS + TEN_YEARS_MS).resolve(key, options())).contactCard, null);
  await assert.rejects(client({ resolve }, NOW_MS - TEN_YEARS_MS).resolve(key, options()), {
    code: 'not-yet-valid',
  });
});

void test('list: pages, and the largest page fits', async () => {
  const entries = Array.from({ length: MAX_PAGE_ENTRIES }, () => ({
    peerId: bob.publicKey.toString(),
    name: '𠀀'.repeat(32),
    online: true,
    lastSeenMs: NOW_MS,
  }));
  const queries: unknown[] = [];
  const list: PhonebookDecisions['list'] = async (_peer, query) => {
    queries.push(query);
    return { status: 'ok', page: { entries, next: query.after === '' ? 'more' : null } };
  };
  const asking = client({ list });
  const first = await asking.list({ onlineOnly: true }, options());
  assert.deepEqual(first, { entries, next: 'more' });
  const second = await asking.list({ limit: 7, after: 'more' }, options());
  assert.equal(second.next, null);
  assert.deepEqual(queries, [
    { onlineOnly: true, limit: MAX_PAGE_ENTRIES, after: '' },
    { onlineOnly: false, limit: 7, after: 'more' },
  ]);
});

const REFUSALS: Record<PhonebookErrorCode, Omit<Refusal, 'status'>> = {
  malformed: { detail: 'seq is out of range' },
  unsupported: {},
  'invalid-name': { detail: 'the name is empty' },
  taken: {},
  'has-name': { heldName: 'bob' },
  'bad-certificate': {},
  'bad-peer-record': {},
  'bad-contact-card': {},
  'clock-skew': {},
  'stale-seq': { currentSeq: 8 },
  'not-found': {},
  'not-yours': {},
  'rate-limited': { retryAfterMs: 1500 },
  full: {},
  unavailable: {},
};

for (const [code, parts] of Object.entries(REFUSALS)) {
  void test(`refused: ${code}`, async () => {
    const release: PhonebookDecisions['release'] = async () => ({
      ...parts,
      status: code as PhonebookErrorCode,
    });
    await assert.rejects(
      client({ release }).release({ name: 'bob', seq: 1 }, options()),
      (error: unknown) => {
        assert.ok(error instanceof PhonebookError);
        assert.equal(error.code, code);
        assert.ok(error.message.length > 0 && error.hint.length > 0);
        if (parts.detail !== undefined) assert.ok(error.message.endsWith(parts.detail));
        assert.equal(error.details.currentSeq, parts.currentSeq ?? 0);
        assert.equal(error.details.retryAfterMs, parts.retryAfterMs ?? 0);
        assert.equal(error.details.heldName, parts.heldName ?? '');
        assert.equal(error.details.phonebookTimeMs, NOW_MS);
        return true;
      },
    );
  });
}

void test('a clock ten years off is said so, in both directions', async () => {
  const renew: PhonebookDecisions['renew'] = async () => ({ status: 'clock-skew' });
  const presence = { peerRecord, contactCard, listed: true };
  await assert.rejects(client({ renew }, NOW_MS + TEN_YEARS_MS).renew(presence, options()), {
    message:
      "this computer's clock is 10 years ahead of the phonebook's, which says 2026-11-20T00:00:00.000Z",
  });
  await assert.rejects(client({ renew }, NOW_MS - TEN_YEARS_MS).renew(presence, options()), {
    message: "this computer's clock is 10 years behind the phonebook's, which says 2026-11-20T00:00:00.000Z",
  });
});

void test('a clock that shows no time there can be is no reason to fail', () => {
  const { message } = new PhonebookError('clock-skew', { clockAheadMs: -1e18, phonebookTimeMs: 1e18 });
  assert.match(message, /behind the phonebook's$/);
});

void test('a phonebook can not write to the terminal', async () => {
  const release: PhonebookDecisions['release'] = async () => ({
    status: 'taken',
    detail: `\u001b[2J\u202e${'x'.repeat(1000)}`,
  });
  await assert.rejects(client({ release }).release({ name: 'bob', seq: 1 }, options()), (error: Error) => {
    assert.ok(!/[\p{Cc}\p{Cf}]/u.test(error.message) && error.message.length < 400);
    return true;
  });
});

async function askRaw(bytes: Uint8Array, given: Partial<PhonebookDecisions> = {}): Promise<Answer> {
  const stream = await served(given);
  return fromBinary(
    AnswerSchema,
    await request(stream, bytes, { maxFrameBytes: MAX_ANSWER_BYTES, ...options() }),
  );
}

void test('requests out of range get a status', async () => {
  const bodies: Parameters<typeof create<typeof RequestSchema>>[1][] = [
    { body: { case: 'claim', value: {} } },
    { body: { case: 'renew', value: {} } },
    { body: { case: 'renew', value: { presence: { timeMs: 2n ** 60n } } } },
    { body: { case: 'release', value: { name: 'bob', seq: 2n ** 60n } } },
    { body: { case: 'resolve', value: {} } },
    { body: { case: 'list', value: { limit: 101 } } },
  ];
  for (const body of bodies) {
    const answer = await askRaw(toBinary(RequestSchema, create(RequestSchema, body)));
    assert.equal(answer.status, Status.MALFORMED);
    assert.notEqual(answer.detail, '');
  }
  assert.equal((await askRaw(new Uint8Array())).status, Status.UNSUPPORTED);
});

/** Resolves when the other side has ended the stream. */
async function ended(stream: Stream): Promise<void> {
  if (stream.status !== 'open') return;
  await new Promise<void>((resolve) => stream.addEventListener('close', () => resolve()));
}

void test('noise and an oversize frame abort the stream', async () => {
  const noisy = await served({});
  noisy.send(encodeFrames([Uint8Array.of(0xff, 0xff, 0xff)]));
  await ended(noisy);
  const oversize = await served({});
  oversize.send(encodeFrames([new Uint8Array(MAX_REQUEST_BYTES + 1)]));
  await ended(oversize);
});

void test('a peer that goes silent is let go', async () => {
  const silent = await served({}, { streamTimeoutMs: 20 });
  await ended(silent);
  const halfway = await served({}, { streamTimeoutMs: 20 });
  halfway.send(Uint8Array.of(10, 1, 2));
  await ended(halfway);
});

void test('no request and no answer can make the other side do worse than refuse', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
      const refuse = async (): Promise<Refusal> => ({ status: 'taken' });
      const given = { claim: refuse, renew: refuse, release: refuse, resolve: refuse, list: refuse };
      await askRaw(noise, given).catch((error: Error) => assert.equal(error.name, 'StreamResetError'));
    }),
    { numRuns: 50 },
  );
});

void test('an unknown status and an answer to another question', async () => {
  const answering = (answer: Parameters<typeof create<typeof AnswerSchema>>[1]): PhonebookClient =>
    phonebookClient({
      openStream: async () => {
        const [outbound, inbound] = await streamPair({ delay: 0 });
        inbound.addEventListener('message', () => {
          inbound.send(encodeFrames([toBinary(AnswerSchema, create(AnswerSchema, answer))]));
        });
        return outbound;
      },
      phonebook: phonebook.publicKey.toString(),
    });
  const wrong = { name: 'InvalidMessageError' };
  await assert.rejects(answering({ status: 77 as Status }).list({}, options()), wrong);
  await assert.rejects(answering({ status: Status.OK }).list({}, options()), wrong);
});
