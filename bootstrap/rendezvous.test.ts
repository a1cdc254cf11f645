import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { StoreError } from '../protocols/group-commit/operations.ts';
import type { StoreErrorCode } from '../protocols/group-commit/operations.ts';
import { rendezvousDecisions } from './rendezvous.ts';
import type { RendezvousInit } from './rendezvous.ts';

const NOW = 1_800_000_000_000;
const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'));
const registration = { peerId, namespace: 'a', signedPeerRecord: new Uint8Array(1), ttlSeconds: 7200 };

/** A store that answers every call alike. */
function answering(answer: () => Promise<unknown>, waiting = 0): RendezvousInit['store'] {
  return { waiting, call: (() => answer()) as RendezvousInit['store']['call'] };
}

function decisions(store: RendezvousInit['store'], overrides: Partial<RendezvousInit> = {}) {
  return rendezvousDecisions({
    store,
    maxStoreQueue: 10,
    maxDiscoveries: 1,
    requestsPerMinute: 2,
    requestsPerAddress: { burst: 3, perSecond: 1 },
    registrationsPerAddress: { burst: 2, perSecond: 1 },
    now: () => NOW,
    ...overrides,
  });
}

void test("the table's refusals are passed on", async (t) => {
  const { signal } = t;
  const refused = { refusal: 'not-authorized', reason: 'too many' };
  const { register, discover } = decisions(answering(() => Promise.resolve({ refused })));
  const expected = { name: 'RendezvousRefusedError', code: 'not-authorized', message: 'too many' };
  await assert.rejects(register(registration, { signal }), expected);
  await assert.rejects(discover({ namespace: 'a', limit: 1, cookie: undefined }, { signal }), expected);
});

void test('what is left of a registration is told', async (t) => {
  const row = { ...registration, expiresAtMs: NOW + 1500 };
  const page = { refused: undefined, registrations: [row], cookie: Uint8Array.of(1) };
  const { discover } = decisions(answering(() => Promise.resolve(page)));
  const { registrations } = await discover(
    { namespace: 'a', limit: 1, cookie: undefined },
    { signal: t.signal },
  );
  assert.equal(registrations[0]?.ttlSeconds, 2);
});

void test('a store that is behind, full or closed is unavailable; one that is broken is our fault', async (t) => {
  const { signal } = t;
  const unavailable = { name: 'RendezvousRefusedError', code: 'unavailable' };
  const busy = decisions(answering(() => assert.fail('not asked'), 10));
  await assert.rejects(busy.register(registration, { signal }), unavailable);
  await assert.rejects(busy.unregister(peerId, 'a', { signal }), unavailable);
  const failing = (code: StoreErrorCode) =>
    decisions(answering(() => Promise.reject(new StoreError('no', code)))).register(registration, { signal });
  await assert.rejects(failing('disk-full'), unavailable);
  await assert.rejects(failing('closed'), unavailable);
  await assert.rejects(failing('corrupt'), { name: 'StoreError', code: 'corrupt' });
});

void test('discoveries under way are limited, and counted down again', async (t) => {
  const { signal } = t;
  const answer = Promise.withResolvers<unknown>();
  const { discover } = decisions(answering(() => answer.promise));
  const query = { namespace: 'a', limit: 1, cookie: undefined };
  const first = discover(query, { signal });
  await assert.rejects(discover(query, { signal }), { code: 'unavailable' });
  answer.resolve({ refused: undefined, registrations: [], cookie: new Uint8Array(0) });
  await first;
  await discover(query, { signal });
});

void test('a peer may ask so many times a minute', () => {
  let now = NOW;
  const { allows } = decisions(
    answering(() => assert.fail('not asked')),
    { now: () => now },
  );
  assert.deepEqual([allows(peerId), allows(peerId), allows(peerId)], [true, true, false]);
  now += 30_000;
  assert.deepEqual([allows(peerId), allows(peerId)], [true, false]);
});

void test('peers of one address share their registrations', async (t) => {
  const { signal } = t;
  const { register } = decisions(
    answering(async () => ({ refused: undefined })),
    { groupOf: () => '192.0.2.1' },
  );
  await register(registration, { signal });
  await register(registration, { signal });
  await assert.rejects(register(registration, { signal }), {
    code: 'unavailable',
    message: /from this address/,
  });
});
