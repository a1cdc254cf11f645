import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { sortFrames } from '../protocols/chat/decisions.ts';
import type { ChatDecisions } from '../protocols/chat/decisions.ts';
import { silentLog } from './delivery/delivery-fixture.ts';
import { DAY_MS, NOON_MS, person } from './phonebook-fixture.ts';
import type { Person } from './phonebook-fixture.ts';
import { prekeyExchange } from './prekey-exchange.ts';
import { PREKEY_LIFETIME_MS } from './sessions/prekey-stock.ts';
import { testStore } from './store/store-fixture.ts';

/** Somebody who knows who is a contact. */
async function somebody(t: TestContext, contacts: readonly string[] = []) {
  const who = await person();
  const store = testStore();
  t.after(() => store.close());
  const clock = { nowMs: NOON_MS };
  const known = new Set(contacts);
  const exchange = prekeyExchange({
    store: store.client,
    privateKey: who.key,
    isContact: (peer) => known.has(peer),
    nowMs: () => clock.nowMs,
    log: silentLog,
  });
  return { ...who, store, clock, known, exchange };
}

/** Tells one what another has answered. */
async function hand(
  frames: Uint8Array[],
  from: Person,
  to: { exchange: Pick<ChatDecisions, 'prekeys'> },
): Promise<void> {
  await sortFrames(frames).tell(to.exchange as ChatDecisions, from.peerId);
}

void test('who has no prekey of a contact asks for some, and for no more when it has them', async (t) => {
  const [ada, ben] = [await somebody(t), await somebody(t)];
  ada.known.add(ben.peerId);
  ben.known.add(ada.peerId);
  assert.equal((await ada.exchange.ask(ben.peerId)).length, 1);
  const answer = await ben.exchange.prekeysWanted(ada.peerId);
  await hand(answer, ben, ada);
  assert.deepEqual(await ada.exchange.ask(ben.peerId), []);
  assert.equal(ben.store.operations['prekeys.handed']({ peer: ada.peerId }), 2);
  ada.clock.nowMs += PREKEY_LIFETIME_MS;
  assert.equal((await ada.exchange.ask(ben.peerId)).length, 1, 'what is expired is none');
});

void test('strangers are asked for nothing, given nothing, and nothing is kept of theirs', async (t) => {
  const [ada, ben] = [await somebody(t), await somebody(t)];
  assert.deepEqual(await ben.exchange.ask(ada.peerId), []);
  assert.deepEqual(await ben.exchange.prekeysWanted(ada.peerId), []);
  ben.known.add(ada.peerId);
  await hand(await ben.exchange.prekeysWanted(ada.peerId), ben, ada);
  const newest = { peer: ben.peerId, nowMs: NOON_MS };
  assert.equal(ada.store.operations['prekeys.newest-received'](newest), undefined);
});

void test("prekeys that are somebody else's, and more than a few, are not kept", async (t) => {
  const [ada, ben, eve] = [await somebody(t), await somebody(t), await somebody(t)];
  for (const one of [ada, ben, eve]) for (const other of [ada, ben, eve]) one.known.add(other.peerId);
  const bens = await ben.exchange.prekeysWanted(eve.peerId);
  await hand(bens, eve, ada);
  const heldOf = (who: Person) =>
    ada.store.operations['prekeys.newest-received']({ peer: who.peerId, nowMs: NOON_MS });
  assert.equal(heldOf(eve), undefined);
  for (let time = 0; time < 6; time++) await hand(await ben.exchange.prekeysWanted(ada.peerId), ben, ada);
  const { n } = ada.store.database.prepare('SELECT count(*) AS n FROM received_prekeys').get()!;
  assert.equal(n, 4);
  assert.ok(heldOf(ben));
});

void test('a peer is handed prekeys so often, and has 16 that it has not used', async (t) => {
  const [ada, ben] = [await somebody(t), await somebody(t)];
  ben.known.add(ada.peerId);
  const ask = async () => (await ben.exchange.prekeysWanted(ada.peerId)).length;
  for (let time = 0; time < 6; time++) assert.equal(await ask(), 1);
  assert.equal(await ask(), 0);
  for (const handed of [1, 1, 0]) {
    ben.clock.nowMs += DAY_MS;
    assert.equal(await ask(), handed);
  }
});
