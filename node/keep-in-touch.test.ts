import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { defaultLogger } from '@libp2p/logger';
import { multiaddr } from '@multiformats/multiaddr';
import { keepInTouch } from './keep-in-touch.ts';
import type { KeepInTouchInit } from './keep-in-touch.ts';
import { peerIdOf } from './peer-ids.ts';
import { NOON_MS, person } from './phonebook-fixture.ts';
import { testStore } from './store/store-fixture.ts';

const HOME = '/ip4/192.0.2.1/tcp/4001';

function world(t: TestContext, init: Partial<KeepInTouchInit> = {}) {
  const store = testStore();
  t.after(() => store.close());
  const events = new EventTarget();
  const stop = new AbortController();
  const contacts: { peer: string; petname: null; addedMs: number; unread: number }[] = [];
  const known = new Map<string, string[]>();
  const greeted: string[] = [];
  const touch = keepInTouch({
    host: Object.assign(events, {
      getConnections: () => [],
      peerStore: {
        get: async (peerId: PeerId) => {
          const addresses = known.get(peerId.toString()) ?? [];
          return { addresses: addresses.map((text) => ({ multiaddr: multiaddr(text) })) };
        },
      },
    }) as unknown as KeepInTouchInit['host'],
    store: store.client,
    directory: { contacts },
    reach: {
      connect: () => Promise.reject(new Error('not there')),
      addAddresses: async (peer, addresses) => void known.set(peer, [...addresses]),
    },
    delivery: { greet: (peer) => greeted.push(peer) },
    log: defaultLogger().forComponent('test'),
    signal: stop.signal,
    ...init,
  });
  const identify = (peer: string, addresses: string[]): void => {
    const listenAddrs = addresses.map((text) => multiaddr(text));
    const detail = { peerId: peerIdOf(peer), listenAddrs };
    events.dispatchEvent(new CustomEvent('peer:identify', { detail }));
  };
  const saved = () => store.client.call('addresses.list', { limit: 10 });
  return { store, stop, contacts, known, greeted, touch, identify, saved };
}

void test('where contacts and people we write with are is kept, where strangers are is not', async (t) => {
  const { store, stop, contacts, known, touch, identify, saved } = world(t);
  const running = touch.run();
  const [friend, writer, stranger, late] = await Promise.all([person(), person(), person(), person()]);
  contacts.push({ peer: friend.peerId, petname: null, addedMs: 0, unread: 0 });
  await store.client.call('messages.send', { items: [{ peer: writer.peerId, text: 'hi' }], nowMs: NOON_MS });
  for (const { peerId } of [friend, writer, stranger]) identify(peerId, [HOME]);
  const rsa = (await generateKeyPair('secp256k1')).publicKey.toString();
  touch.met(rsa);
  // Identified before it became a contact.
  known.set(late.peerId, [`${HOME}/p2p-circuit`]);
  touch.met(late.peerId);
  touch.met(late.peerId);
  touch.met(stranger.peerId);
  for (let rows = await saved(); rows.length < 3; rows = await saved());
  const rows = new Map((await saved()).map(({ peer, addresses }) => [peer, addresses]));
  assert.deepEqual(rows.get(friend.peerId), [HOME]);
  assert.deepEqual(rows.get(writer.peerId), [HOME]);
  assert.deepEqual(rows.get(late.peerId), [`${HOME}/p2p-circuit`]);
  assert.equal(rows.size, 3);
  stop.abort();
  await running;
  identify(stranger.peerId, [HOME]);
});

void test('a store that fails ends nothing', async (t) => {
  const stop = new AbortController();
  const failing = { waiting: 0, call: () => Promise.reject(new Error('disk full')) };
  const { touch, contacts, identify } = world(t, { store: failing as never, signal: stop.signal });
  const friend = await person();
  contacts.push({ peer: friend.peerId, petname: null, addedMs: 0, unread: 0 });
  const running = touch.run();
  identify(friend.peerId, [HOME]);
  touch.met(friend.peerId);
  await new Promise(setImmediate);
  stop.abort();
  await running;
});

void test('contacts that are there are greeted', async (t) => {
  const reached = Promise.withResolvers<void>();
  const { contacts, touch, stop, greeted } = world(t, {
    reach: {
      connect: async () => ({}) as never,
      addAddresses: async () => undefined,
    },
    delivery: {
      greet(peer) {
        greeted.push(peer);
        reached.resolve();
      },
    },
  });
  const friend = await person();
  contacts.push({ peer: friend.peerId, petname: null, addedMs: 0, unread: 0 });
  contacts.push({ peer: 'rubbish', petname: null, addedMs: 0, unread: 0 });
  const running = touch.run();
  await reached.promise;
  assert.deepEqual(greeted, [friend.peerId]);
  stop.abort();
  await running;
});

void test('where somebody was is not forgotten while the daemon runs', async (t) => {
  const { store, known, touch, stop } = world(t, { everyMs: 1 });
  const friend = await person();
  await store.client.call('addresses.put', { peer: friend.peerId, addresses: [HOME] });
  const running = touch.run();
  while (!known.has(friend.peerId)) await new Promise(setImmediate);
  // As libp2p's peer store does after an hour.
  known.clear();
  while (!known.has(friend.peerId)) await new Promise(setImmediate);
  stop.abort();
  await running;
});
