import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { runGroup } from '../protocols/group-commit/worker.ts';
import { CLOCK_TOLERANCE_MS } from '../protocols/phonebook/lifetimes.ts';
import { NAMES_SCHEMA, nameTable } from './name-table.ts';
import type { NameRow } from './name-table.ts';

const NOW_MS = Date.UTC(2026, 10, 20);
const LIFETIME_MS = 10;

function openTable(maxNames = 100) {
  const database = new DatabaseSync(':memory:');
  database.exec(NAMES_SCHEMA);
  return { database, ...nameTable(database, { maxNames }) };
}

function row(name: string, owner: string, seq: number, nowMs = NOW_MS): NameRow & { nowMs: number } {
  return {
    name,
    owner,
    seq,
    expiresMs: nowMs + LIFETIME_MS,
    certificate: Buffer.from(`${name} ${owner} ${seq} ${nowMs}`),
    peerRecord: Uint8Array.of(1),
    contactCard: null,
    contactCardExpiresMs: 0,
    lastSeenMs: nowMs,
    nowMs,
  };
}

void test('of everybody who asks in one commit the first gets the name', () => {
  const { database, operations, rolledBack } = openTable();
  const replies = runGroup({ database, operations, rolledBack }, [
    { id: 1, operation: 'names.claim', argument: row('bob', 'a', 1), durability: 'disk' },
    { id: 2, operation: 'names.claim', argument: row('bob', 'b', 1), durability: 'disk' },
    { id: 3, operation: 'names.claim', argument: row('eve', 'a', 1), durability: 'disk' },
  ]);
  assert.deepEqual(
    replies.map(({ value }) => value),
    [{ outcome: 'ok' }, { outcome: 'taken' }, { outcome: 'has-name', name: 'bob' }],
  );
});

void test('a row that was rolled back does not count', () => {
  const { operations, rolledBack, database } = openTable(1);
  database.exec('BEGIN');
  assert.deepEqual(operations['names.claim'](row('bob', 'a', 1)), { outcome: 'ok' });
  database.exec('ROLLBACK');
  rolledBack();
  assert.deepEqual(operations['names.claim'](row('eve', 'b', 1)), { outcome: 'ok' });
  assert.deepEqual(operations['names.claim'](row('bob', 'a', 1)), { outcome: 'full' });
});

void test('what was last seen of an owner is kept, and goes with the name', () => {
  const { operations } = openTable();
  operations['names.claim'](row('bob', 'a', 1));
  const seen = { peerRecord: null, contactCard: Uint8Array.of(2), contactCardExpiresMs: 5, lastSeenMs: 6 };
  operations['names.seen']({ owner: 'a', ...seen });
  operations['names.seen']({ owner: 'nobody', ...seen });
  const found = operations['names.get']({ owner: 'a', nowMs: NOW_MS });
  assert.equal(found?.lastSeenMs, 6);
  assert.deepEqual(found.contactCard, Uint8Array.of(2));
  operations['names.release']({ name: 'bob', owner: 'a', seq: 1, nowMs: NOW_MS });
  assert.equal(operations['names.get']({ name: 'bob', nowMs: NOW_MS }), null);
  assert.equal(operations['names.count']({ nowMs: NOW_MS }), 0);
});

void test('nobody can spoil a name for longer than a certificate lasts', () => {
  const { operations } = openTable();
  operations['names.claim'](row('bob', 'a', Number.MAX_SAFE_INTEGER));
  operations['names.release']({ name: 'bob', owner: 'a', seq: Number.MAX_SAFE_INTEGER, nowMs: NOW_MS });
  const spoiled = { outcome: 'stale-seq', seq: Number.MAX_SAFE_INTEGER };
  assert.deepEqual(operations['names.claim'](row('bob', 'b', 2)), spoiled);
  const laterMs = NOW_MS + LIFETIME_MS + CLOCK_TOLERANCE_MS;
  assert.deepEqual(operations['names.claim'](row('bob', 'b', 2, laterMs)), { outcome: 'ok' });
});

void test('whatever happens: one owner a name, one name an owner, and the seq of a name only rises', () => {
  const step = fc.record({
    release: fc.boolean(),
    name: fc.constantFrom('x', 'y', 'z'),
    owner: fc.constantFrom('a', 'b', 'c'),
    seq: fc.integer({ min: 1, max: 6 }),
    passMs: fc.constantFrom(0, 1, LIFETIME_MS),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { operations } = openTable();
      const held = new Map<string, { owner: string; expiresMs: number }>();
      const highest = new Map<string, number>();
      let nowMs = NOW_MS;
      for (const { release, name, owner, seq, passMs } of steps) {
        nowMs += passMs;
        const holder = held.get(name);
        const isHeld = holder !== undefined && holder.expiresMs > nowMs;
        if (release) {
          const { outcome } = operations['names.release']({ name, owner, seq, nowMs });
          if (!isHeld) assert.equal(outcome, 'not-found');
          else if (holder.owner !== owner) assert.equal(outcome, 'not-yours');
          else assert.equal(outcome, seq < highest.get(name)! ? 'stale-seq' : 'ok');
          if (outcome === 'ok') held.delete(name);
        } else {
          const { outcome } = operations['names.claim'](row(name, owner, seq, nowMs));
          if (outcome === 'ok') {
            assert.ok(!isHeld || holder.owner === owner);
            assert.ok(seq >= (highest.get(name) ?? 0));
            highest.set(name, seq);
            held.set(name, { owner, expiresMs: nowMs + LIFETIME_MS });
          }
        }
        for (const each of ['x', 'y', 'z']) {
          const found = operations['names.get']({ name: each, nowMs });
          const expected = held.get(each);
          assert.equal(
            found?.owner,
            expected !== undefined && expected.expiresMs > nowMs ? expected.owner : undefined,
          );
        }
        const names = ['a', 'b', 'c'].filter(
          (each) => operations['names.get']({ owner: each, nowMs }) !== null,
        );
        assert.equal(operations['names.count']({ nowMs }), names.length);
      }
    }),
  );
});
