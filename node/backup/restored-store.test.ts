import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { decodeMessage } from '../../protocols/chat/message.ts';
import { ackedRanges, decodeFrame } from '../../protocols/chat/protocol.ts';
import { openNodeStore } from '../store/file.ts';
import { messagesIn, TEST_DATA_KEY, TEST_SEALED, testStore } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import { beginAfterRestore, storeForBackup } from './restored-store.ts';

const NOW = 1_800_000_000_000;

let folder: string;
let ann: TestStore;
let bob: TestStore;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tincan-'));
  ann = testStore();
  bob = testStore();
  bob.operations['contacts.add']({ peer: 'ann', petname: null, nowMs: NOW });
});
afterEach(() => {
  ann.close();
  bob.close();
  rmSync(folder, { recursive: true });
});

type Opened = Pick<ReturnType<typeof openNodeStore>, 'operations'>;

const send = (store: Opened, text: string): unknown =>
  store.operations['messages.send']({ items: [{ peer: 'bob', text }], nowMs: NOW });

const waiting = (store: Opened): Uint8Array[] =>
  store.operations['messages.pending']({ peer: 'bob' }).flatMap(({ chain, first }) => {
    const page = { chain, after: first - 1, maxBytes: 1 << 20, maxCount: 100, skipStored: false };
    return messagesIn(store.operations['messages.frames'](page).frames);
  });

/** Everything that waits is sent; what came of the acknowledgements. */
const deliver = (store: Opened): (string | undefined)[] => {
  const messages = waiting(store);
  const { answers } = bob.operations['messages.receive']({
    peer: 'ann',
    messages,
    viaMailbox: false,
    nowMs: NOW,
  });
  return answers.flatMap((answer) => {
    const { body } = decodeFrame(answer);
    if (body.case !== 'ack') return [];
    const ranges = ackedRanges(body.value);
    const { chain } = body.value;
    return [store.operations['messages.acked']({ peer: 'bob', chain, ranges, opening: false })?.outcome];
  });
};

const states = (store: Opened): [string, string][] =>
  store.operations['history.page']({ peer: 'bob', limit: 100 }).map(({ text, state }) => [text, state]);

/** A file as a backup has it. */
function backUp(madeMs = NOW): string {
  const [copy, packed] = [join(folder, 'copy.db'), join(folder, 'store.db')];
  writeFileSync(copy, ann.backup());
  storeForBackup(copy, packed, { sealed: TEST_SEALED, madeMs });
  return packed;
}

const open = (file: string): ReturnType<typeof openNodeStore> =>
  openNodeStore({ file, dataKey: () => Buffer.from(TEST_DATA_KEY) });

test('a restored store begins new chains before it has heard from anybody, once', () => {
  send(ann, 'delivered');
  deliver(ann);
  send(ann, 'waits');
  const file = backUp(NOW - 5);
  // The first machine goes on.
  send(ann, 'after the backup');
  deliver(ann);

  const first = open(file);
  assert.equal(first.restoredMs, NOW - 5);
  assert.deepEqual(states(first), [
    ['delivered', 'delivered'],
    ['waits', 'queued'],
  ]);
  send(first, 'after the restore');
  const [before, ...more] = waiting(first).map(decodeMessage);
  assert.deepEqual(
    [before!.text, before!.counter, more.map(({ text }) => text)],
    ['waits', 1, ['after the restore']],
  );
  assert.deepEqual(deliver(first), ['taken'], 'no fork was found by the other end');
  assert.ok(states(first).every(([, state]) => state === 'delivered'));
  const arrived = bob.operations['history.page']({ peer: 'ann', limit: 100 }).map(({ text }) => text);
  assert.deepEqual(arrived.toSorted(), ['after the backup', 'after the restore', 'delivered', 'waits']);
  first.database.close();

  const second = open(file);
  assert.equal(second.restoredMs, undefined);
  send(second, 'later');
  assert.equal(decodeMessage(waiting(second)[0]!).counter, 3, 'the chain goes on');
  second.database.close();
});

test('a first start that is cut off is a first start again', () => {
  send(ann, 'one');
  const file = backUp();
  const database = new DatabaseSync(file);
  const chains = (): unknown => database.prepare('SELECT chain, last_counter FROM chains ORDER BY id').all();
  const before = chains();
  database.exec("CREATE TRIGGER full BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'no room'); END");
  assert.throws(() => beginAfterRestore(database, TEST_SEALED), /no room/);
  assert.deepEqual(chains(), before);
  database.exec('DROP TRIGGER full');
  assert.equal(beginAfterRestore(database, TEST_SEALED), NOW);
  assert.notDeepEqual(chains(), before);
  assert.equal(beginAfterRestore(database, TEST_SEALED), undefined);
  database.close();
});

test('what a daemon seals with is in no backup and does not outlive a first start; what it opens with is kept', () => {
  const { operations, database } = ann;
  const [id, state] = [new Uint8Array(16).fill(1), new Uint8Array(100).fill(2)];
  operations['sessions.sealed']({ peer: 'bob', id, state });
  operations['prekeys.received']({
    peer: 'bob',
    prekeys: [{ id, prekey: state, expiresMs: NOW + 1 }],
    nowMs: NOW,
  });
  const prekey = { id, state, expiresMs: NOW + 1 };
  operations['prekeys.add']({ prekeys: [prekey], to: { peer: 'bob' }, nowMs: NOW });
  operations['sessions.take']({
    peer: 'bob',
    messages: [],
    sessions: [{ id, prekeyId: id, state, takenMs: NOW }],
    usedPrekeys: [],
    nowMs: NOW,
  });
  const file = backUp();
  const rows = (database: DatabaseSync): number[] =>
    ['outgoing_sessions', 'received_prekeys', 'incoming_sessions', 'own_prekeys'].map((table) =>
      Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()!['n']),
    );
  assert.deepEqual(rows(database), [1, 1, 1, 1], 'the daemon goes on');
  const raw = new DatabaseSync(file);
  assert.deepEqual(rows(raw), [0, 0, 1, 1]);
  raw.exec("INSERT INTO outgoing_sessions (peer, session_index, session) VALUES (1, x'00', x'00')");
  raw.close();
  const restored = open(file);
  assert.deepEqual(rows(restored.database), [0, 0, 1, 1]);
  assert.equal(restored.operations['sessions.outgoing']({ peer: 'bob' }), undefined);
  assert.deepEqual(restored.operations['prekeys.own']({ ids: [id] }), [state]);
  assert.deepEqual(restored.operations['sessions.incoming']({ ids: [id] }), [state]);
  restored.database.close();
});

test('the store that the backup was made of is no restored one', () => {
  send(ann, 'one');
  backUp();
  send(ann, 'two');
  assert.deepEqual(
    waiting(ann).map((message) => decodeMessage(message).counter),
    [1, 2],
  );
});

test('nothing that was deleted is left in a backup', () => {
  const secret = Buffer.from('a key that was used and deleted '.repeat(4));
  ann.database.exec('CREATE TABLE used (key BLOB) STRICT');
  ann.database.prepare('INSERT INTO used VALUES (?)').run(secret);
  ann.database.exec('DELETE FROM used');
  assert.ok(ann.backup() instanceof Uint8Array);
  assert.ok(Buffer.from(ann.backup()).includes(secret), 'SQLite overwrites nothing by itself');
  assert.ok(!readFileSync(backUp()).includes(secret));
});
