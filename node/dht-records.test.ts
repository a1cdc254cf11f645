import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultLogger } from '@libp2p/logger';
import { CARD_NAMESPACE, NAME_NAMESPACE } from '../protocols/dht/records.ts';
import { dhtRecords } from './dht-records.ts';
import type { DhtRecordsInit } from './dht-records.ts';
import { fakePhonebook, NOON_MS, person } from './phonebook-fixture.ts';
import { peerIdOf } from './peer-ids.ts';

/** Records on a DHT in which `holders` others keep what is put; a name can be made to fail. */
async function world(holders: number) {
  const { peerId, key } = await person();
  const held = await (await fakePhonebook()).give('bob', { peerId, key });
  const puts: string[] = [];
  const stop = new AbortController();
  const state = { holders, failing: '' };
  let told = Promise.withResolvers<void>();
  const dht = {
    validators: { [CARD_NAMESPACE]: async () => undefined, [NAME_NAMESPACE]: async () => undefined },
    async *put(key: Uint8Array, value: Uint8Array) {
      const kind = Buffer.from(key).toString().split('/')[1]!;
      puts.push(kind);
      if (kind === NAME_NAMESPACE) setImmediate(told.resolve);
      if (kind === state.failing) throw new Error('refused');
      for (let n = 0; n < state.holders; n++)
        yield { name: 'PEER_RESPONSE', messageName: 'PUT_VALUE', record: { value } };
    },
    async *get() {
      yield* [];
      throw new Error('nobody to ask');
    },
  };
  const records = dhtRecords({
    host: { peerId: peerIdOf(peerId), services: { dht } } as unknown as DhtRecordsInit['host'],
    nowMs: () => NOON_MS,
    random: () => 0,
    log: defaultLogger().forComponent('test'),
    signal: stop.signal,
    own: async () => ({ card: Uint8Array.of(1), certificates: [held] }),
  });
  const published = async (): Promise<void> => {
    await told.promise;
    told = Promise.withResolvers<void>();
  };
  return { records, puts, stop, state, published };
}

const ROUND = [CARD_NAMESPACE, NAME_NAMESPACE];

void test('what changes is put again, one record that fails holds up no other, and stopping is at once', async () => {
  const { records, puts, stop, state, published } = await world(20);
  state.failing = CARD_NAMESPACE;
  const running = records.run();
  await published();
  assert.deepEqual(puts, ROUND);
  state.failing = '';
  records.changed();
  await published();
  assert.deepEqual(puts, [...ROUND, ...ROUND]);
  // Enough hold them: new peers are no reason to put them again.
  records.peersChanged();
  stop.abort();
  await running;
  assert.equal(puts.length, 4);
});

void test('records that nobody holds go to the first peer there is', async () => {
  const { records, puts, stop, published } = await world(0);
  const running = records.run();
  await published();
  records.peersChanged();
  await published();
  assert.equal(puts.length, 4);
  stop.abort();
  await running;
});

void test('a lookup with nobody to ask finds nothing', async () => {
  const { records } = await world(0);
  const { signal } = new AbortController();
  const { peerId } = await person();
  assert.equal(await records.lookupName(peerId, 'bob', { signal }), undefined);
  assert.equal(await records.lookupName(peerId, 'no name', { signal }), undefined);
  assert.equal(await records.lookupCard(peerId, { signal }), undefined);
});
