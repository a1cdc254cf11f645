import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCard } from '../protocols/contact-card/card.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { ownCard } from './own-card.ts';
import { DAY_MS, NOON_MS, person } from './phonebook-fixture.ts';
import { testStore } from './store/store-fixture.ts';

void test('a card is signed anew when it changes, with a seq that outlives restarts', async (t) => {
  const store = testStore();
  t.after(() => store.close());
  const { key, peerId } = await person();
  let name: string | null = null;
  let nowMs = NOON_MS;
  const mailboxes: MailboxAddress[] = [];
  const start = () =>
    ownCard({
      privateKey: key,
      store: store.client,
      nowMs: () => nowMs,
      name: () => name,
      mailboxes: () => mailboxes,
    });
  const card = start();
  assert.equal(card.latest.byteLength, 0);
  const [first, same] = await Promise.all([card.current(), card.current()]);
  assert.equal(first, same);
  assert.equal(card.latest, first);
  assert.deepEqual(await openCard(first, { nowMs }), {
    peerId,
    mailboxes: [],
    seq: NOON_MS,
    expiresMs: nowMs + 90 * DAY_MS,
  });

  name = 'bob';
  for (let n = 0; n < 6; n++)
    mailboxes.push({ peerId: (await person()).peerId, multiaddrs: [`/ip4/192.0.2.${n}/tcp/1`] });
  const second = await openCard(await card.current(), { nowMs });
  assert.equal(second.name, 'bob');
  assert.equal(second.seq, NOON_MS + 1);
  assert.deepEqual(second.mailboxes, mailboxes.slice(0, 4), 'a card has room for four');

  assert.equal((await openCard(await start().current(), { nowMs })).seq, NOON_MS + 2);
  nowMs += 46 * DAY_MS;
  assert.equal((await openCard(await card.current(), { nowMs })).expiresMs, nowMs + 90 * DAY_MS);
  nowMs -= 3650 * DAY_MS;
  assert.equal((await openCard(await card.current(), { nowMs })).expiresMs, nowMs + 90 * DAY_MS);
});

void test('a card signed on an old copy of the data is later than those signed since the copy was made', async (t) => {
  const { key } = await person();
  let nowMs = NOON_MS;
  const seqOn = async (store: ReturnType<typeof testStore>): Promise<number> => {
    const init = { privateKey: key, store: store.client, nowMs: () => nowMs, name: () => null };
    return (await openCard(await ownCard({ ...init, mailboxes: () => [] }).current(), { nowMs })).seq;
  };
  const [store, oldCopy] = [testStore(), testStore()];
  t.after(() => store.close());
  t.after(() => oldCopy.close());
  await seqOn(store);
  nowMs += DAY_MS;
  const newest = await seqOn(store);
  nowMs += DAY_MS;
  assert.ok((await seqOn(oldCopy)) > newest);
});

void test('a card that could not be signed is tried again', async (t) => {
  const store = testStore();
  t.after(() => store.close());
  const { key } = await person();
  let full = true;
  const card = ownCard({
    privateKey: key,
    store: {
      get waiting() {
        return 0;
      },
      call: (...call) => (full ? Promise.reject(new Error('disk full')) : store.client.call(...call)),
    },
    nowMs: () => NOON_MS,
    name: () => null,
    mailboxes: () => [],
  });
  await assert.rejects(card.current(), /disk full/);
  full = false;
  assert.ok((await card.current()).byteLength > 0);
});
