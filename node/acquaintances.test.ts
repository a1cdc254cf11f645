import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { decodeMessage } from '../protocols/chat/message.ts';
import { decodeFrame } from '../protocols/chat/protocol.ts';
import { openCapability, signCapability } from '../protocols/mailbox/capability.ts';
import { acquaintances } from './acquaintances.ts';
import type { Acquaintances } from './acquaintances.ts';
import { quiet, silentLog } from './delivery/delivery-fixture.ts';
import { hashOfToken } from './invite.ts';
import { peerIdOf } from './peer-ids.ts';
import { messagesIn, testStore } from './store/store-fixture.ts';
import type { TestStore } from './store/store-fixture.ts';

const NOW = 1_800_000_000_000;
const DAY_MS = 24 * 3_600_000;

const key = (): Promise<Ed25519PrivateKey> => generateKeyPair('Ed25519');
const idOf = (of: Ed25519PrivateKey): string => peerIdFromPrivateKey(of).toString();
const [benKey, adaKey, eveKey] = await Promise.all([key(), key(), key()]);
const [ben, ada, eve] = [idOf(benKey), idOf(adaKey), idOf(eveKey)];

interface World {
  store: TestStore;
  known: Acquaintances;
  told: string[];
  nowMs: number;
  /** As a new process finds it. */
  restart(): Promise<Acquaintances>;
}

/** Ben, and all that the rest of his daemon hears. */
async function world(t: TestContext): Promise<World> {
  const stop = new AbortController();
  const store = testStore(':memory:', { strangers: true });
  t.after(async () => {
    stop.abort(new Error('the test is over'));
    await quiet();
    store.close();
  });
  const told: string[] = [];
  const names: Record<string, string> = { [ada]: 'ada', [eve]: 'eve' };
  const open = (): Promise<Acquaintances> =>
    acquaintances({
      store: store.client,
      privateKey: benKey,
      nowMs: () => self.nowMs,
      log: silentLog,
      signal: stop.signal,
      delivery: () => ({
        arrived: (peer, messages) =>
          told.push(`${names[peer]} wrote ${messages.map((bytes) => decodeMessage(bytes).text).join()}`),
        standAside: async (peer, { requeue }) =>
          void told.push(`stand aside for ${names[peer]}${requeue ? ', queue again' : ''}`),
        present: async (peer) => void told.push(`${names[peer]} is present`),
        greet: (peer) => void told.push(`greet ${names[peer]}`),
      }),
      contacts: () => store.operations['contacts.list']().map(({ peer }) => peer),
      onContact: async (peer) => void told.push(`${names[peer]} is a contact`),
      onRequest: (peer, change) => told.push(`request of ${names[peer]} ${change}`),
      onWaiting: (peer, waits) => told.push(`${waits ? 'waiting' : 'not waiting'} for ${names[peer]}`),
      onBlock: (peer) => told.push(`block of ${names[peer]} changed`),
    });
  const self: World = {
    store,
    told,
    nowMs: NOW,
    restart: open,
    known: undefined as unknown as Acquaintances,
  };
  self.known = await open();
  return self;
}

/** What somebody writes first. */
function ask({ store, known }: World, peer: string, text = 'it is me'): void {
  const author = testStore();
  const { frames } = author.operations['messages.send']({ items: [{ peer: ben, text }], nowMs: NOW });
  author.close();
  const given = { peer, messages: messagesIn(frames), viaMailbox: false, nowMs: NOW };
  if (store.operations['messages.receive'](given).requested === true) known.requested(peer);
}

const capabilityOf = (of: Ed25519PrivateKey, depositor: string, issuedMs = NOW): Promise<Uint8Array> =>
  signCapability(of, { depositor: peerIdOf(depositor), issuedMs, expiresMs: issuedMs + DAY_MS });

/** The right to deposit that a peer is to be handed. */
function owedTo({ store }: World, peer: string): Uint8Array | undefined {
  const { answers } = store.operations['messages.acks']({ peer, owedOnly: true });
  const bodies = answers.map((bytes) => decodeFrame(bytes).body);
  const found = bodies.find(({ case: kind }) => kind === 'depositCapability');
  return found?.value as Uint8Array | undefined;
}

void test('who is accepted becomes a contact, is heard, and is handed a right to deposit', async (t) => {
  const self = await world(t);
  const { known, told } = self;
  ask(self, ada);
  await quiet();
  assert.deepEqual(
    known.requests.map(({ peer, text }) => [peer, text]),
    [[ada, 'it is me']],
  );
  assert.equal(await known.accept(ada, 'Ada'), true);
  await quiet();
  assert.deepEqual(told, [
    'request of ada received',
    'ada is a contact',
    'request of ada accepted',
    'ada wrote it is me',
    'ada is present',
    'greet ada',
  ]);
  const times = await openCapability(owedTo(self, ada)!, {
    recipient: peerIdOf(ben),
    depositor: peerIdOf(ada),
    nowMs: NOW,
  });
  assert.deepEqual(times, { issuedMs: NOW, expiresMs: NOW + 400 * DAY_MS });
  ask(self, eve);
  await quiet();
  assert.equal(await known.accept(eve, 'Ada'), false);
  assert.equal(known.requests.length, 1);
  assert.equal(await known.decline(eve), true);
  assert.equal(await known.decline(eve), false);
  assert.deepEqual(known.requests, []);
});

void test('writing to somebody who asks is accepting them', async (t) => {
  const self = await world(t);
  const { known, told } = self;
  assert.equal(known.beforeSending([eve]), undefined);
  ask(self, ada);
  await quiet();
  told.length = 0;
  await known.beforeSending([ada, ada]);
  assert.deepEqual(told.slice(0, 3), ['ada is a contact', 'request of ada accepted', 'ada wrote it is me']);
  await quiet();
  assert.notEqual(owedTo(self, ada), undefined);
});

void test('who is written to is handed a right to deposit once, another when it is old', async (t) => {
  const self = await world(t);
  void self.known.beforeSending([ada]);
  void self.known.beforeSending([ada]);
  await quiet();
  const first = owedTo(self, ada)!;
  void self.known.beforeSending([ada]);
  await quiet();
  assert.deepEqual(owedTo(self, ada), first);
  self.nowMs += 200 * DAY_MS;
  const again = await self.restart();
  void again.beforeSending([ada]);
  await quiet();
  assert.notDeepEqual(owedTo(self, ada), first);
});

void test('a right to deposit is kept if it is one, and ends our waiting and the rest of a mailbox', async (t) => {
  const self = await world(t);
  const { known, store, told } = self;
  store.operations['messages.send']({ items: [{ peer: ada, text: 'may I?' }], nowMs: NOW });
  void known.beforeSending([ada]);
  await quiet();
  await known.decisions.pending(ada);
  assert.equal(known.keepsUsWaiting(ada), true);
  assert.deepEqual(told, ['waiting for ada', 'stand aside for ada, queue again']);
  for (const bad of [new Uint8Array(7), await capabilityOf(eveKey, ben), await capabilityOf(adaKey, eve)]) {
    await known.decisions.depositCapability(ada, bad);
    assert.equal(known.capabilityFrom(ada), undefined);
    assert.equal(known.keepsUsWaiting(ada), true);
  }
  const good = await capabilityOf(adaKey, ben);
  await known.decisions.depositCapability(ada, good);
  assert.deepEqual(known.capabilityFrom(ada), Buffer.from(good));
  assert.equal(known.keepsUsWaiting(ada), false);
  assert.deepEqual(told.slice(2), ['not waiting for ada', 'ada is present', 'greet ada']);
  assert.deepEqual((await self.restart()).capabilityFrom(ada), Buffer.from(good));
  told.length = 0;
  await known.decisions.depositCapability(ada, good);
  assert.deepEqual(told, []);
  await known.decisions.depositCapability(ada, await capabilityOf(adaKey, ben, NOW + 1));
  assert.deepEqual(told, ['ada is present'], 'its mailbox is tried again');
});

void test('strangers make nothing be kept, but for what comes in front of a request', async (t) => {
  const self = await world(t);
  const { known, store } = self;
  await known.decisions.pending(eve);
  assert.equal(known.keepsUsWaiting(eve), false);
  const early = await capabilityOf(eveKey, ben);
  await known.decisions.depositCapability(eve, early);
  assert.equal(known.capabilityFrom(eve), undefined);
  assert.deepEqual(store.operations['standings.list'](), []);
  ask(self, eve);
  await quiet();
  assert.deepEqual(known.capabilityFrom(eve), Buffer.from(early));
});

void test('a stream that opens without a word of waiting ends it', async (t) => {
  const { known, store, told } = await world(t);
  store.operations['messages.send']({ items: [{ peer: ada, text: 'may I?' }], nowMs: NOW });
  void known.beforeSending([ada]);
  await quiet();
  await known.opening(ada, () => known.decisions.pending(ada));
  assert.equal(known.keepsUsWaiting(ada), true);
  told.length = 0;
  known.askAgain();
  assert.deepEqual(told, ['greet ada']);
  await assert.rejects(known.opening(ada, () => Promise.reject(new Error('nobody there'))));
  assert.equal(known.keepsUsWaiting(ada), true);
  await known.opening(ada, () => known.decisions.pending(ada));
  assert.equal(known.keepsUsWaiting(ada), true);
  await known.opening(ada, () => Promise.resolve());
  assert.equal(known.keepsUsWaiting(ada), false);
});

void test('a token lets its bearer in, also after they have asked', async (t) => {
  const self = await world(t);
  const { known, store, told } = self;
  store.operations['invites.add']({
    hash: hashOfToken('token'),
    reusable: true,
    expiresMs: NOW + 1,
    nowMs: NOW,
  });
  await known.decisions.inviteToken(eve, Buffer.from('another'));
  assert.equal(told.length, 0);
  ask(self, ada);
  await quiet();
  told.length = 0;
  await known.decisions.inviteToken(ada, Buffer.from('token'));
  assert.deepEqual(told, ['ada is a contact', 'request of ada accepted', 'ada wrote it is me']);
  await known.decisions.inviteToken(ada, Buffer.from('token'));
  await known.decisions.inviteToken(eve, Buffer.from('token'));
  await quiet();
  assert.equal(told.filter((what) => what.endsWith('is a contact')).length, 2);
});

void test('a block is told of, lasts, and ends; what was given before it is given anew', async (t) => {
  const self = await world(t);
  const { known, told } = self;
  await known.accept(ada, null);
  ask(self, eve);
  await quiet();
  const before = owedTo(self, ada);
  told.length = 0;
  await known.block(ada);
  await known.block(eve);
  assert.deepEqual(told, [
    'stand aside for ada',
    'block of ada changed',
    'request of eve declined',
    'stand aside for eve',
    'block of eve changed',
  ]);
  const again = await self.restart();
  assert.deepEqual(again.blocked.map(({ peer }) => peer).toSorted(), [ada, eve].toSorted());
  await again.toldMailbox('home', [ada, eve], true);
  self.nowMs += 1000;
  assert.equal(await again.unblock(ada), true);
  assert.equal(await again.unblock(ada), false);
  await quiet();
  assert.deepEqual(again.blocksFor('home'), { block: [{ peer: eve, sinceMs: NOW }], unblock: [ada] });
  assert.deepEqual(again.blocksFor('other'), { block: [{ peer: eve, sinceMs: NOW }], unblock: [] });
  await again.toldMailbox('home', [ada], false);
  assert.deepEqual(again.blocksFor('home').unblock, []);
  const after = owedTo(self, ada);
  assert.ok(after !== undefined && before !== undefined);
  assert.notDeepEqual(after, before);
});

void test('contacts of before are handed a right to deposit at the start', async (t) => {
  const self = await world(t);
  self.store.operations['contacts.add']({ peer: ada, petname: null, nowMs: NOW });
  self.store.operations['contacts.add']({ peer: eve, petname: null, nowMs: NOW });
  await self.known.block(eve);
  void self.known.run();
  await quiet();
  assert.notEqual(owedTo(self, ada), undefined);
  assert.equal(owedTo(self, eve), undefined);
  assert.ok(self.told.includes('ada is present'));
});
