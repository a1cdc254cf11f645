import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Ed25519PrivateKey, Libp2p } from '@libp2p/interface';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { createLibp2p } from 'libp2p';
import { sealCard } from '../contact-card/card.ts';
import { countersign, openProposal, proposeCertificate } from '../phonebook/certificate.ts';
import { cardKey, nameKey } from './records.ts';
import { lookupCard, lookupName, publishCard, publishCertificate, tincanDht } from './service.ts';
import type { DhtRecords } from './service.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const DAY_MS = 24 * 60 * 60 * 1000;

let nowMs = NOW_MS;
let owner: Ed25519PrivateKey;
let phonebook: Ed25519PrivateKey;

const nodes: Pick<Libp2p, 'stop'>[] = [];

async function start(clientMode: boolean) {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 100 },
    services: {
      // In this order: the service must not need ping before it is there.
      dht: tincanDht({ clientMode, privateNetwork: true, nowMs: () => nowMs }),
      identify: identify(),
      ping: ping(),
    },
  });
  nodes.push(node);
  return node;
}

before(async () => {
  [owner, phonebook] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')]);
});

after(async () => {
  await Promise.all(nodes.map(async (node) => node.stop()));
});

function signal(): AbortSignal {
  return AbortSignal.timeout(10_000);
}

async function eventually<T>(attempt: () => Promise<T>, enough: (value: T) => boolean): Promise<T> {
  const deadline = signal();
  for (;;) {
    const value = await attempt();
    if (enough(value)) return value;
    await delay(20, undefined, { signal: deadline });
  }
}

function bob(seq: number): Promise<Uint8Array> {
  return sealCard(owner, {
    peerId: owner.publicKey.toString(),
    mailboxes: [],
    seq,
    expiresMs: NOW_MS + 30 * DAY_MS,
  });
}

async function bobsName(seq: number, signer = phonebook): Promise<Uint8Array> {
  const wanted = {
    name: 'bob',
    phonebook: phonebook.publicKey.toString(),
    seq,
    expiresMs: NOW_MS + 30 * DAY_MS,
  };
  return countersign(signer, await openProposal(await proposeCertificate(owner, wanted)));
}

void test('records outlive the bootstrap node, and neither age nor forgery overwrites them', async () => {
  const [bootstrap, second, third, publisher, asker] = await Promise.all([
    start(false),
    start(false),
    start(false),
    start(true),
    start(true),
  ]);
  const peerId = owner.publicKey.toString();
  const key = { phonebook: phonebook.publicKey.toString(), name: 'bob' };
  const lookups = () => ({ nowMs, signal: signal() });

  assert.equal(await lookupCard(asker.services.dht, peerId, lookups()), null, 'nobody is there to ask');

  for (const node of [second, third, publisher, asker]) await node.dial(bootstrap.getMultiaddrs());
  await asker.dial(third.getMultiaddrs());
  const card = { bytes: await bob(2), peerId };
  const certificate = { bytes: await bobsName(2), ...key };
  await eventually(
    () => publishCard(publisher.services.dht, card, { signal: signal() }),
    (stored) => stored === 3,
  );
  assert.equal(await publishCertificate(publisher.services.dht, certificate, { signal: signal() }), 3);

  await bootstrap.stop();

  const found = await eventually(
    () => lookupCard(asker.services.dht, peerId, lookups()),
    (found) => found !== null,
  );
  assert.equal(found?.card.seq, 2);
  assert.deepEqual(Buffer.from(found.bytes), Buffer.from(card.bytes));
  const named = await lookupName(asker.services.dht, { ...key, name: 'Bob' }, lookups());
  assert.equal(named?.certificate.owner, peerId);
  assert.equal(await lookupName(asker.services.dht, { ...key, name: 'nobody' }, lookups()), null);

  // Whoever publishes an old, forged or expired record by our own functions is told.
  const dht = publisher.services.dht;
  await assert.rejects(async () => publishCard(dht, { bytes: await bob(1), peerId }, { signal: signal() }), {
    name: 'StaleRecordError',
  });
  const eve = await generateKeyPair('Ed25519');
  const forged = await bobsName(9, eve);
  await assert.rejects(publishCertificate(dht, { bytes: forged, ...key }, { signal: signal() }), {
    code: 'bad-phonebook-signature',
  });

  // And whoever puts them by other means is refused by the servers.
  const rudely = async (at: Uint8Array, value: Uint8Array): Promise<void> => {
    for await (const event of dht.put(at, value, { signal: signal() })) {
      const stored = event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE';
      assert.ok(!stored, 'a server stored it');
    }
  };
  await rudely(cardKey(peerId), await bob(1));
  await rudely(nameKey(key.phonebook, key.name), forged);
  assert.equal((await lookupCard(asker.services.dht, peerId, lookups()))?.card.seq, 2);
  assert.equal((await lookupName(asker.services.dht, key, lookups()))?.certificate.seq, 2);

  // A new one replaces it.
  assert.equal(await publishCard(dht, { bytes: await bob(3), peerId }, { signal: signal() }), 2);
  assert.equal((await lookupCard(asker.services.dht, peerId, lookups()))?.card.seq, 3);

  // When all have expired, there is nothing.
  nowMs = NOW_MS + 31 * DAY_MS;
  assert.equal(await lookupCard(asker.services.dht, peerId, lookups()), null);
  await assert.rejects(async () => publishCard(dht, { bytes: await bob(4), peerId }, { signal: signal() }), {
    code: 'expired',
  });
});

type Events = ReturnType<DhtRecords['get']>;

/** A DHT that answers with these values, and then fails or goes on for ever. */
function answering(values: Uint8Array[], failure?: Error) {
  const state = { asked: 0, ended: false };
  const get = async function* () {
    try {
      for (const value of values) {
        state.asked++;
        yield { name: 'PEER_RESPONSE', record: { key: cardKey(''), value } };
      }
      if (failure !== undefined) throw failure;
    } finally {
      state.ended = true;
    }
  };
  const dht: DhtRecords = {
    get: get as unknown as () => Events,
    put: get as unknown as () => Events,
    validators: {},
  };
  return { state, dht };
}

void test('a lookup ends when enough servers have answered, and takes the newest', async () => {
  const values = await Promise.all([bob(3), bob(5), bob(4), bob(2), bob(9)]);
  const { state, dht } = answering(values);
  const found = await lookupCard(dht, owner.publicKey.toString(), { nowMs: NOW_MS, signal: signal() });
  assert.equal(found?.card.seq, 5);
  assert.deepEqual(state, { asked: 4, ended: true });
});

void test('a lookup that fails at the end keeps what it found', async () => {
  const failure = new Error('could not send correction');
  const lookups = { nowMs: NOW_MS, signal: signal() };
  const some = answering([await bob(3), Buffer.from('noise')], failure);
  assert.equal((await lookupCard(some.dht, owner.publicKey.toString(), lookups))?.card.seq, 3);
  await assert.rejects(lookupCard(answering([], failure).dht, owner.publicKey.toString(), lookups), failure);
});
