import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { rebuildStore } from '../../protocols/group-commit/repair.ts';
import { mendNodeStore } from './mend.ts';
import type { NodeLosses } from './mend.ts';
import { migrate } from './schema.ts';
import { messagesIn, TEST_SEALED, testStore, unproved } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const ADA = '12D3KooWAda';
const BEN = '12D3KooWBen';
const COUNT = 150;
const PAGE_BYTES = 4096;

/** What a peer has for another after a counter. */
function written(store: TestStore, peer: string): Uint8Array[] {
  return store.operations['messages.pending']({ peer }).flatMap(({ chain }) => {
    const read = { chain, after: 0, maxBytes: 1e7, maxCount: 1000, skipStored: false };
    return messagesIn(store.operations['messages.frames'](read).frames);
  });
}

/** Ada's store as a file without a log: Ben has everything of hers but the last ten, she all of his. */
function adasStore(t: TestContext): { file: string; folder: string; ben: TestStore } {
  const folder = mkdtempSync(join(tmpdir(), 'tincan-mend-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'daemon.db');
  const ada = testStore(file);
  const ben = testStore();
  t.after(() => ben.close());
  ada.operations['contacts.add']({ peer: BEN, petname: 'ben', nowMs: 1 });
  for (let index = 0; index < COUNT; index++) {
    // Some go on in pages of their own.
    const text = `${index} ${'and so on '.repeat(index % 50 === 7 ? 900 : 9)}`;
    ada.operations['messages.send']({ items: [{ peer: BEN, text: `ada ${text}` }], nowMs: 1000 + index });
    ben.operations['messages.send']({ items: [{ peer: ADA, text: `ben ${text}` }], nowMs: 1000 + index });
  }
  ada.operations['messages.receive']({
    peer: BEN,
    messages: written(ben, ADA),
    viaMailbox: false,
    nowMs: 5000,
  });
  const [chain] = ada.database.prepare('SELECT chain FROM chains WHERE direction = 0').all();
  const ranges = [{ first: 1, last: COUNT - 10 }];
  ada.operations['messages.acked']({ peer: BEN, chain: chain!['chain'] as Uint8Array, ...unproved(ranges) });
  ada.close();
  return { file, folder, ben };
}

function repaired(folder: string, bytes: Uint8Array): { losses: NodeLosses; store: TestStore } {
  const [file, to] = [join(folder, 'damaged.db'), join(folder, 'made.db')];
  writeFileSync(file, bytes);
  const { report } = rebuildStore({
    file,
    to,
    migrate: (database, version) => migrate(database, TEST_SEALED, version),
    mend: (database) => mendNodeStore(database, TEST_SEALED),
  });
  return { losses: report, store: testStore(to) };
}

const textsOf = (store: TestStore): string[] =>
  store.operations['history.page']({ peer: BEN, limit: 1000 }).map(({ text }) => text);

void test('of a whole store, nothing is lost and nothing is other than it was', (t) => {
  const { file, folder } = adasStore(t);
  const dump = (from: string): unknown => {
    const database = new DatabaseSync(from);
    const tables = [
      'meta',
      'peers',
      'contacts',
      'pins',
      'chains',
      'messages',
      'former_places',
      'failures',
      'verifications',
      'key_changes',
    ];
    const rows = tables.map((table) => database.prepare(`SELECT * FROM ${table}`).all());
    database.close();
    return rows;
  };
  const { losses, store } = repaired(folder, readFileSync(file));
  store.close();
  assert.deepEqual(losses, { conversations: [], nobodys: 0, chains: 0, contacts: 0 });
  assert.deepEqual(dump(join(folder, 'made.db')), dump(file));
});

void test('whichever page is lost: only its rows are, and the friend makes the conversation whole', (t) => {
  const { file, folder, ben } = adasStore(t);
  const whole = readFileSync(file);
  const fromBen = written(ben, ADA);
  let affected = 0;
  for (let at = 0; at < whole.byteLength; at += PAGE_BYTES) {
    const bytes = Buffer.from(whole);
    bytes.fill(0xa5, at, at + PAGE_BYTES);
    const { losses, store } = repaired(folder, bytes);
    const page = `page ${at / PAGE_BYTES + 1}`;
    const before = textsOf(store);
    const [loss] = losses.conversations;
    const { own = 0, undelivered = 0, theirs = 0 } = loss ?? {};
    assert.equal(before.length, 2 * COUNT - own - theirs, page);
    assert.ok(own + theirs < 60, `${page}: ${own} and ${theirs} are lost`);
    assert.equal(losses.nobodys, 0, page);
    if (loss !== undefined) {
      affected++;
      assert.equal(loss.name, 'ben');
    }
    // Ben sends again what Ada does not name any more.
    store.operations['messages.receive']({ peer: BEN, messages: fromBen, viaMailbox: false, nowMs: 6000 });
    const after = store.operations['history.page']({ peer: BEN, limit: 1000 });
    assert.equal(after.filter(({ outgoing }) => !outgoing).length, COUNT, page);
    assert.equal(new Set(after.map(({ id }) => id)).size, 2 * COUNT - own, page);
    assert.ok(
      after.every(({ missing }) => missing === 0),
      page,
    );
    // What waits, goes out, without a gap that nobody could fill.
    if (losses.chains === 0) assert.equal(written(store, BEN).length, 10 - undelivered, page);
    store.operations['messages.send']({ items: [{ peer: BEN, text: 'and on' }], nowMs: 7000 });
    assert.equal(textsOf(store).length, 2 * COUNT - own + 1, page);
    store.close();
  }
  assert.ok(affected > 10, `only ${affected} pages had messages`);
});

void test('a bit that turned over in a message is found', (t) => {
  const { file, folder } = adasStore(t);
  const whole = readFileSync(file);
  const database = new DatabaseSync(file);
  const bodies = (
    database.prepare('SELECT chain, counter, id, body FROM messages').all() as unknown as {
      chain: number;
      counter: number;
      id: Uint8Array;
      body: Uint8Array;
    }[]
  ).map(({ chain, counter, id, body }) => ({
    sealed: body,
    open: TEST_SEALED.body.open(body, chain, counter, id),
  }));
  database.close();
  for (const [word, own, theirs] of [
    ['ada 30 ', 1, 0],
    ['ben 31 ', 0, 1],
    [`ada ${COUNT - 1} `, 1, 0],
    [`ben ${COUNT - 1} `, 0, 1],
  ] as const) {
    const bytes = Buffer.from(whole);
    const { sealed } = bodies.find(({ open }) => Buffer.from(open).includes(word))!;
    bytes[bytes.indexOf(sealed.subarray(0, 64)) + 40]! ^= 1;
    const { losses, store } = repaired(folder, bytes);
    store.close();
    const [loss] = losses.conversations;
    assert.deepEqual([loss?.own, loss?.theirs], [own, theirs], word);
  }
});

void test('of a store that is cut off, or has no beginning, what is there is saved', (t) => {
  const { file, folder } = adasStore(t);
  const whole = readFileSync(file);
  // The pages of tables that are nearly empty come first.
  const cut = repaired(folder, whole.subarray(0, Math.floor(whole.byteLength * 0.75)));
  assert.ok(textsOf(cut.store).length > COUNT / 4);
  cut.store.close();
  const headless = repaired(folder, Buffer.concat([Buffer.alloc(8 * 1024), whole.subarray(8 * 1024)]));
  assert.equal(textsOf(headless.store).length, 2 * COUNT);
  headless.store.close();
  for (const nothing of [Buffer.alloc(0), Buffer.alloc(50_000), Buffer.from('garbage'.repeat(5000))]) {
    const { store } = repaired(folder, nothing);
    assert.deepEqual(store.operations['history.conversations'](), []);
    store.close();
  }
});
