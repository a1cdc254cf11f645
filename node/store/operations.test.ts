import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeOperations } from './operations.ts';
import { migrate } from './schema.ts';
import { messagesIn, TEST_SEALED, testStore, unproved } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW = 1_800_000_000_000;
const PEERS = ['ann', 'bob'];

interface Step {
  kind: 'send' | 'receive' | 'acked' | 'stored' | 'refused' | 'receipt' | 'paid' | 'read' | 'add' | 'fail';
  peer: string;
  number: number;
  nowMs: number;
}

const steps = (maxLength: number) =>
  fc.array(
    fc.record<Step>({
      kind: fc.constantFrom(
        'send',
        'receive',
        'acked',
        'stored',
        'refused',
        'receipt',
        'paid',
        'read',
        'add',
        'fail',
      ),
      peer: fc.constantFrom(...PEERS),
      number: fc.integer({ min: 1, max: 9 }),
      nowMs: fc.integer({ min: NOW, max: NOW + 100 }),
    }),
    { maxLength },
  );

/** Calls that a step stands for. `far` is where the friends write. */
function callsOf(
  { kind, peer, number, nowMs }: Step,
  store: TestStore,
  far: TestStore,
): [keyof NodeOperations, unknown][] {
  const own = store.operations['messages.pending']({ peer })[0];
  const bytes = store.database
    .prepare('SELECT chain FROM chains JOIN peers p ON p.id = peer WHERE peer_id = ? AND direction = 0')
    .get(peer)?.['chain'];
  const chain = bytes ?? new Uint8Array(8);
  switch (kind) {
    case 'send':
      return [
        ['messages.send', { items: PEERS.flatMap((peer) => [{ peer, text: `text ${number}` }]), nowMs }],
      ];
    case 'receive': {
      const { frames } = far.operations['messages.send']({
        items: Array.from({ length: number }, () => ({ peer, text: 'theirs' })),
        nowMs,
      });
      const messages = messagesIn(frames).filter((_, index) => index % 3 !== 1);
      return [['messages.receive', { peer, messages, viaMailbox: number % 2 === 0, nowMs }]];
    }
    case 'acked':
      return [['messages.acked', { peer, chain, ...unproved([{ first: number, last: number + 1 }]) }]];
    case 'stored':
      return own === undefined || number > own.last
        ? []
        : [['messages.stored', { chain: own.chain, ranges: [{ first: 1, last: number }], nowMs }]];
    case 'refused':
      return [['messages.refused', { peer, chain, counter: number, reason: 'conflict' }]];
    case 'receipt':
      return [['messages.receipt', { peer, chain, readUpTo: number, hash: new Uint8Array(0) }]];
    case 'paid':
      return [
        [
          'messages.acks-paid',
          { peer, held: store.operations['messages.acks']({ peer, owedOnly: true }).held },
        ],
      ];
    case 'read': {
      const messages = store.operations['history.page']({ peer, limit: 20 });
      const message = messages[number % Math.max(1, messages.length)];
      return message === undefined ? [] : [['history.read', { peer, id: message.id }]];
    }
    case 'add':
      return [['contacts.add', { peer, petname: `pet${number}`, nowMs }]];
    case 'fail':
      // The first item is written, the second can't be bound: SQLite takes no symbol for a peer id.
      return [
        [
          'messages.send',
          {
            items: [
              { peer, text: 'lost' },
              { peer: `new${number}`, text: 'lost' },
              { peer: Symbol('no peer id'), text: 'x' },
            ],
            nowMs: nowMs + 1e9,
          },
        ],
      ];
    default:
      return kind;
  }
}

/** All that a store answers to who only asks. */
function answers({ operations }: TestStore): unknown {
  return structuredClone({
    peers: PEERS.map((peer) => ({
      page: operations['history.page']({ peer, limit: 1_000 }),
      unread: operations['history.unread']({ peer }),
      pending: operations['messages.pending']({ peer }).map((pending) => ({
        ...pending,
        frames: operations['messages.frames']({
          chain: pending.chain,
          after: 0,
          maxBytes: 1 << 20,
          maxCount: 100,
          skipStored: true,
        }),
      })),
      acks: operations['messages.acks']({ peer, owedOnly: false }),
      owed: operations['messages.acks']({ peer, owedOnly: true }),
    })),
    inbox: operations['history.inbox']({ after: 0, unread: false, limit: 1_000 }),
    unread: operations['history.inbox']({ after: 0, unread: true, limit: 1_000 }),
    conversations: operations['history.conversations'](),
    summary: operations['history.summary'](),
    waiting: operations['messages.waiting-peers'](),
    contacts: operations['contacts.list'](),
    newest: operations['history.newest-row'](),
  });
}

/** The clock that the next message would get, without sending it. */
function nextClock(store: TestStore): Float64Array {
  store.database.exec('BEGIN');
  const { clocks } = store.operations['messages.send']({ items: [{ peer: 'ann', text: 'x' }], nowMs: 0 });
  store.database.exec('ROLLBACK');
  store.restart();
  return clocks;
}

test('after any steps, failed ones among them, a restart changes no answer and not the clock', () => {
  fc.assert(
    fc.property(fc.array(steps(4), { maxLength: 10 }), (groups) => {
      const store = testStore();
      const far = testStore();
      try {
        for (const group of groups) {
          const replies = store.group(group.flatMap((step) => callsOf(step, store, far)));
          const failed = replies.filter((reply) => (reply as { code?: string } | undefined)?.code).length;
          assert.equal(failed, group.filter(({ kind }) => kind === 'fail').length);
          const before = answers(store);
          store.restart();
          assert.deepEqual(answers(store), before);
        }
        const clock = nextClock(store);
        store.restart();
        assert.deepEqual(nextClock(store), clock);
        assert.equal(
          store.database
            .prepare('SELECT id, peer_id FROM peers')
            .all()
            .filter(({ id, peer_id: peerId }) =>
              TEST_SEALED.peerId.openText(peerId as Uint8Array, id as number).startsWith('new'),
            ).length,
          0,
        );
      } finally {
        store.close();
        far.close();
      }
    }),
    { numRuns: 100 },
  );
});

test('a failed call takes nothing with it and leaves nothing behind', () => {
  const store = testStore();
  const send = (text: string): [keyof NodeOperations, unknown] => [
    'messages.send',
    { items: [{ peer: 'ann', text }], nowMs: NOW },
  ];
  const fail = callsOf({ kind: 'fail', peer: 'ann', number: 1, nowMs: NOW }, store, store);
  const [first, failure, second] = store.group([send('one'), ...fail, send('two')]) as [
    { counters: Float64Array; clocks: Float64Array },
    { code: string },
    { counters: Float64Array; clocks: Float64Array },
  ];
  assert.equal(failure.code, 'internal');
  assert.deepEqual([first.counters[0], second.counters[0]], [1, 2]);
  assert.deepEqual([...second.clocks], [NOW, 1], 'the clock of what failed is forgotten');
  assert.deepEqual(
    store.operations['history.page']({ peer: 'ann', limit: 10 }).map(({ text }) => text),
    ['one', 'two'],
  );
  store.close();
});

test('from a file that is closed and opened again, the answers are the same', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tincan-store-'));
  let run = 0;
  try {
    fc.assert(
      fc.property(steps(15), (all) => {
        const store = testStore(join(dir, `${run++}.db`));
        const far = testStore();
        try {
          for (const step of all) store.group(callsOf(step, store, far));
          const before = answers(store);
          store.restart();
          assert.deepEqual(answers(store), before);
        } finally {
          store.close();
          far.close();
        }
      }),
      { numRuns: 10 },
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a store written by a newer version is left alone, with a word', () => {
  const database = new DatabaseSync(':memory:');
  database.exec('PRAGMA user_version = 99');
  assert.throws(() => migrate(database, TEST_SEALED), { name: 'StoreError', code: 'newer-version' });
  database.close();
});
