import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HeldPrekey } from '../protocols/mailbox/prekey-frames.ts';
import { PREKEY_ROW_BYTES, PREKEY_SCHEMA, prekeyTable } from './prekey-table.ts';

const limits = { oneTime: 5, lastResort: 2, totalBytes: 12 * (PREKEY_ROW_BYTES + 12), storeBytes: 1024 ** 3 };

const ownerOf = (number: number): Uint8Array => Uint8Array.of(0, 36, number);
const idOf = (number: number): Uint8Array => new Uint8Array(16).fill(number);

interface Item {
  id: number;
  length: number;
  livesMs: number;
}

interface Row {
  owner: number;
  lastResort: boolean;
  id: number;
  length: number;
  expiresMs: number;
}

function heldOf({ id, length, livesMs }: Item, nowMs: number): HeldPrekey {
  return { id: idOf(id), expiresMs: nowMs + livesMs, prekey: new Uint8Array(length).fill(id) };
}

const size = (rows: readonly { length: number }[]): number =>
  rows.reduce((sum, { length }) => sum + PREKEY_ROW_BYTES + length, 0);

interface Publication {
  owner: number;
  oneTime: Item[];
  lastResort: Item | undefined;
  replace: boolean;
}

/** What the table should do, without an index or a total. Returns the rows afterwards. */
function modelPublish(rows: Row[], nowMs: number, { owner, oneTime, lastResort, replace }: Publication) {
  const rowOf = ({ id, length, livesMs }: Item, last: boolean): Row => ({
    owner,
    lastResort: last,
    id,
    length,
    expiresMs: nowMs + livesMs,
  });
  const fresh = [
    ...oneTime.map((item) => rowOf(item, false)),
    ...(lastResort === undefined ? [] : [rowOf(lastResort, true)]),
  ];
  const others = rows.filter((row) => row.owner !== owner);
  const live = rows.filter((row) => row.owner === owner && row.expiresMs > nowMs);
  const own = [...live.filter(({ id }) => !replace && !fresh.some((row) => row.id === id)), ...fresh];
  const lasts = own.filter((row) => row.lastResort).slice(-limits.lastResort);
  const onces = own.filter((row) => !row.lastResort);
  const before = live.filter((row) => !row.lastResort).length;
  if (onces.length > limits.oneTime) return { outcome: 'full', left: before, rows };
  const after = [...others, ...onces, ...lasts];
  if (size(after) > size(rows) && size(after) > limits.totalBytes) {
    return { outcome: 'store-full', left: before, rows };
  }
  return { outcome: 'published', left: onces.length, rows: after };
}

const owner = fc.nat({ max: 2 });
const item = fc.record({
  id: fc.nat({ max: 12 }),
  length: fc.integer({ min: 1, max: 20 }),
  livesMs: fc.integer({ min: 1, max: 50 }),
});
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .record({
        do: fc.constant('publish' as const),
        owner,
        items: fc.uniqueArray(item, { maxLength: 6, selector: ({ id }) => id }),
        withLastResort: fc.boolean(),
        replace: fc.nat({ max: 6 }).map((n) => n === 0),
        fails: fc.nat({ max: 5 }).map((n) => n === 0),
      })
      .map(({ items, withLastResort, ...rest }) => ({
        ...rest,
        oneTime: withLastResort ? items.slice(1) : items,
        lastResort: withLastResort ? items[0] : undefined,
      })),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('take' as const), owner, oneTime: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'expire' as const) }) },
);

test('publications, takes, rollbacks, restarts and expiry agree with a naive model', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const database = new DatabaseSync(':memory:');
      database.exec(PREKEY_SCHEMA);
      let { operations, rolledBack } = prekeyTable(database, limits);
      let rows: Row[] = [];
      let nowMs = 1000;
      const handedOut = new Set<Row>();
      for (const one of steps) {
        if (one.do === 'publish') {
          const { rows: after, ...expected } = modelPublish(rows, nowMs, one);
          database.exec('BEGIN');
          const { lastResort } = one;
          const outcome = operations['prekeys.publish']({
            owner: ownerOf(one.owner),
            oneTime: one.oneTime.map((item) => heldOf(item, nowMs)),
            lastResort: lastResort === undefined ? undefined : heldOf(lastResort, nowMs),
            replace: one.replace,
            nowMs,
          });
          assert.deepEqual(outcome, expected);
          database.exec(one.fails ? 'ROLLBACK' : 'COMMIT');
          if (one.fails) rolledBack();
          else rows = after;
        } else if (one.do === 'take') {
          const live = rows.filter((row) => row.owner === one.owner && row.expiresMs > nowMs);
          const once = live.find((row) => !row.lastResort);
          const row = one.oneTime && once !== undefined ? once : live.findLast((row) => row.lastResort);
          const { taken, withheld } = operations['prekeys.take']({
            owner: ownerOf(one.owner),
            oneTime: one.oneTime,
            nowMs,
          });
          assert.equal(withheld, row === undefined && once !== undefined);
          assert.deepEqual(
            taken && [
              Buffer.from(taken.prekey.id),
              taken.prekey.prekey.byteLength,
              taken.prekey.expiresMs,
              taken.lastResort,
            ],
            row && [Buffer.from(idOf(row.id)), row.length, row.expiresMs, row.lastResort],
          );
          if (row?.lastResort === false) {
            assert.ok(!handedOut.has(row));
            handedOut.add(row);
            rows = rows.filter((other) => other !== row);
          }
        } else if (one.do === 'wait') {
          nowMs += one.ms;
        } else if (one.do === 'restart') {
          ({ operations, rolledBack } = prekeyTable(database, limits));
        } else {
          const { expired, more } = operations['prekeys.expire']({ nowMs });
          const left = rows.filter(({ expiresMs }) => expiresMs > nowMs);
          assert.deepEqual({ expired, more }, { expired: rows.length - left.length, more: false });
          rows = left;
        }
        assert.equal(operations['prekeys.totals'](null).bytes, size(rows));
        for (const owner of [0, 1, 2]) {
          const live = rows.filter((row) => row.owner === owner && row.expiresMs > nowMs);
          const { oneTimeIds, lastResortId } = operations['prekeys.count']({ owner: ownerOf(owner), nowMs });
          assert.deepEqual(
            oneTimeIds.map((id) => id[0]),
            live.filter((row) => !row.lastResort).map(({ id }) => id),
          );
          assert.equal(lastResortId?.[0], live.findLast((row) => row.lastResort)?.id);
        }
        const owners = database.prepare('SELECT count(*) AS n FROM prekey_owner').get()!['n'];
        assert.equal(owners, new Set(rows.map(({ owner }) => owner)).size, 'who has none is forgotten');
      }
      database.close();
    }),
    { numRuns: 200 },
  );
});

test('a sweep goes through everything in chunks', () => {
  const database = new DatabaseSync(':memory:');
  database.exec(PREKEY_SCHEMA);
  const { operations } = prekeyTable(database, { ...limits, oneTime: 1200, totalBytes: 1e9 });
  const oneTime = Array.from({ length: 1200 }, (_, number) => ({
    id: Buffer.from(String(number).padStart(16, '0')),
    expiresMs: 10,
    prekey: Uint8Array.of(1),
  }));
  operations['prekeys.publish']({
    owner: ownerOf(1),
    oneTime,
    lastResort: undefined,
    replace: false,
    nowMs: 1,
  });
  const chunks = [1, 2, 3].map(() => operations['prekeys.expire']({ nowMs: 10 }));
  assert.deepEqual(chunks, [
    { expired: 500, more: true },
    { expired: 500, more: true },
    { expired: 200, more: false },
  ]);
  assert.equal(operations['prekeys.totals'](null).bytes, 0);
  database.close();
});

test('a store that holds as much as it may takes nothing more, but less in place of it', () => {
  const database = new DatabaseSync(':memory:');
  database.exec(PREKEY_SCHEMA);
  const { operations } = prekeyTable(database, { ...limits, storeBytes: 1 });
  const publish = (oneTime: HeldPrekey[]) =>
    operations['prekeys.publish']({
      owner: ownerOf(1),
      oneTime,
      lastResort: undefined,
      replace: true,
      nowMs: 1,
    }).outcome;
  assert.equal(publish([heldOf({ id: 1, length: 1, livesMs: 1 }, 1)]), 'store-full');
  assert.equal(publish([]), 'published');
  database.close();
});
