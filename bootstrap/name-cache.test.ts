import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameCache } from './name-cache.ts';
import type { NameRow } from './name-table.ts';

const NOW = 1_000;

function row(name: string, owner: string, seq = 1): NameRow {
  return {
    name,
    owner,
    seq,
    expiresMs: NOW + 100,
    certificate: new Uint8Array(0),
    peerRecord: null,
    contactCard: null,
    contactCardExpiresMs: 0,
    lastSeenMs: 0,
  };
}

function open(kept?: number) {
  const table = new Map<string, NameRow>();
  const state = { reads: 0, held: Promise.resolve() };
  const call = async (_name: string, key: { name?: string; owner?: string }): Promise<NameRow | null> => {
    state.reads++;
    const found = Array.from(table.values()).find(
      ({ name, owner }) => name === key.name || owner === key.owner,
    );
    await state.held;
    return found ?? null;
  };
  const cache = nameCache({ call } as never, kept === undefined ? {} : { kept });
  return { table, state, cache };
}

void test('a name is read once, by name and by owner, until it expires', async () => {
  const { table, state, cache } = open();
  table.set('ada', row('ada', 'A'));
  assert.equal((await cache.get({ name: 'ada' }, { nowMs: NOW }))?.owner, 'A');
  assert.equal((await cache.get({ owner: 'A' }, { nowMs: NOW }))?.name, 'ada');
  assert.equal(state.reads, 1);
  await cache.get({ name: 'ada' }, { nowMs: NOW + 100 });
  assert.equal(state.reads, 2);
  assert.equal(await cache.get({ name: 'ben' }, { nowMs: NOW }), null);
});

void test('what is written is read anew, whoever it belonged to', async () => {
  const { table, cache } = open();
  table.set('ada', row('ada', 'A'));
  await cache.get({ name: 'ada' }, { nowMs: NOW });
  await cache.writing({ name: 'ada', owner: 'B' }, async () => table.set('ada', row('ada', 'B', 2)));
  assert.equal((await cache.get({ name: 'ada' }, { nowMs: NOW }))?.owner, 'B');
  assert.equal(await cache.get({ owner: 'A' }, { nowMs: NOW }), null);
  await cache.writing({ owner: 'B' }, async () => table.set('ada', row('ada', 'B', 3)));
  assert.equal((await cache.get({ owner: 'B' }, { nowMs: NOW }))?.seq, 3);
});

void test('what was read before a write is not kept after it', async () => {
  const { table, state, cache } = open();
  table.set('ada', row('ada', 'A'));
  const gate = Promise.withResolvers<void>();
  state.held = gate.promise;
  const reading = cache.get({ name: 'ada' }, { nowMs: NOW });
  await cache.writing({ name: 'ada', owner: 'A' }, async () => table.set('ada', row('ada', 'A', 2)));
  gate.resolve();
  assert.equal((await reading)?.seq, 1);
  assert.equal((await cache.get({ name: 'ada' }, { nowMs: NOW }))?.seq, 2);
});

void test('only so many are kept', async () => {
  const { table, state, cache } = open(2);
  for (const name of ['a', 'b', 'c']) {
    table.set(name, row(name, name.toUpperCase()));
    await cache.get({ name }, { nowMs: NOW });
  }
  await cache.get({ name: 'c' }, { nowMs: NOW });
  assert.equal(state.reads, 3);
  await cache.get({ name: 'a' }, { nowMs: NOW });
  assert.equal(state.reads, 4);
});
