import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EventView, MessageView } from '../protocols/control/contract.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { eventLog } from './event-log.ts';
import type { EventLog, EventLogInit, StoredMessage } from './event-log.ts';

const PEER = '12D3KooWGzBq5VLxBkDbvBmGLgpN9kT8HmY8eVh3Cq1ygMdCpYEq';

function messageView(row: number): MessageView {
  return {
    id: `018f0000-0000-7000-8000-${String(row).padStart(12, '0')}`,
    from: PEER,
    fromName: null,
    to: PEER,
    toName: null,
    text: `message ${row}`,
    sentAt: '2026-11-20T00:00:00.000Z',
    receivedAt: null,
    state: 'unread',
    seq: row,
    missing: 0,
    failure: null,
    cursor: String(row),
  };
}

/** A store whose rows are 1, 2, 3, …; a log need not have been told of all of them. */
class FakeStore {
  rows = 0;
  appended = 0;

  log(init: Partial<EventLogInit> = {}): EventLog {
    this.appended = this.rows;
    return eventLog({
      messagesAfter: async (row, limit) => this.after(row, limit),
      nowRow: this.rows,
      ...init,
    });
  }

  after(row: number, limit: number): StoredMessage[] {
    const stored: StoredMessage[] = [];
    for (let next = row + 1; next <= this.rows && stored.length < limit; next++) {
      stored.push({ row: next, message: messageView(next) });
    }
    return stored;
  }

  /** Tells the log of everything committed so far. */
  append(log: EventLog): void {
    while (this.appended < this.rows) {
      const row = ++this.appended;
      log.append({ type: 'message', row, bytes: 10, view: () => messageView(row) });
    }
  }
}

const running = (): AbortSignal => new AbortController().signal;

async function take(events: AsyncIterable<EventView[]>, count: number): Promise<EventView[]> {
  const taken: EventView[] = [];
  for await (const batch of events) {
    taken.push(...batch);
    if (taken.length >= count) break;
  }
  return taken;
}

function texts(events: EventView[]): string[] {
  return events.map((event) =>
    event.type === 'message' ? event.message.text : event.type === 'resync' ? event.reason : event.type,
  );
}

void test('a subscriber without a cursor gets what happens from now on, as one batch a turn', async () => {
  const store = new FakeStore();
  store.rows = 3;
  const log = store.log();
  const batches = log.subscribe({ signal: running() })[Symbol.asyncIterator]();
  const first = batches.next();
  store.rows = 5;
  store.append(log);
  log.append({ type: 'warning', message: 'the clock is off' });
  const { value } = await first;
  assert.deepEqual(texts(value), ['message 4', 'message 5', 'warning']);
});

void test('a current cursor replays exactly what came after it, other events too', async () => {
  const store = new FakeStore();
  const log = store.log();
  const start = log.cursor();
  store.rows = 2;
  store.append(log);
  log.append({ type: 'peer', peerId: PEER, connected: 'direct' });
  const all = await take(log.subscribe({ after: start, signal: running() }), 3);
  assert.deepEqual(texts(all), ['message 1', 'message 2', 'peer']);
  const rest = await take(log.subscribe({ after: all[0]!.cursor, signal: running() }), 2);
  assert.deepEqual(texts(rest), ['message 2', 'peer']);
});

void test('after a restart, resync comes first, then the messages missed, then live ones', async () => {
  const store = new FakeStore();
  const before = store.log();
  store.rows = 2;
  store.append(before);
  const after = before.cursor();
  store.rows = 4;
  const log = store.log();
  store.rows = 5;
  store.append(log);
  const batches = log.subscribe({ after, signal: running() })[Symbol.asyncIterator]();
  assert.deepEqual(texts((await batches.next()).value), ['restarted', 'message 3', 'message 4', 'message 5']);
  store.rows = 6;
  store.append(log);
  assert.deepEqual(texts((await batches.next()).value), ['message 6']);
});

void test('a resync with nothing to replay leaves the reader live', async () => {
  const store = new FakeStore();
  store.rows = 2;
  const after = store.log().cursor();
  const log = store.log();
  const [resync] = await take(log.subscribe({ after, signal: running() }), 1);
  assert.equal(resync!.type, 'resync');
  assert.equal(resync!.cursor, log.cursor());
});

void test('what is committed and not yet appended during a replay comes once, live', async () => {
  const store = new FakeStore();
  const after = store.log().cursor();
  store.rows = 1;
  const log = store.log();
  store.rows = 2;
  const batches = log.subscribe({ after, signal: running() })[Symbol.asyncIterator]();
  assert.deepEqual(texts((await batches.next()).value), ['restarted', 'message 1']);
  store.append(log);
  assert.deepEqual(texts((await batches.next()).value), ['message 2']);
});

void test('a reader that falls out of the ring resyncs and misses no message', async () => {
  const store = new FakeStore();
  const log = store.log({ maxEvents: 8 });
  const batches = log.subscribe({ signal: running() })[Symbol.asyncIterator]();
  store.rows = 1;
  store.append(log);
  assert.deepEqual(texts((await batches.next()).value), ['message 1']);
  store.rows = 600;
  store.append(log);
  const seen: EventView[] = [];
  while (seen.length < 600) seen.push(...(await batches.next()).value);
  assert.deepEqual(texts(seen).slice(0, 3), ['overflow', 'message 2', 'message 3']);
  assert.equal(texts(seen).at(-1), 'message 600');
});

void test('the edge of the ring: the oldest event kept is still replayed, one more and the reader resyncs', async () => {
  for (const [newest, expected] of [
    [4, ['message 1', 'message 2', 'message 3', 'message 4']],
    [5, ['overflow', 'message 1', 'message 2', 'message 3', 'message 4', 'message 5']],
  ] as const) {
    const store = new FakeStore();
    const log = store.log({ maxEvents: 4 });
    const after = log.cursor();
    store.rows = newest;
    store.append(log);
    const events = await take(log.subscribe({ after, signal: running() }), expected.length);
    assert.deepEqual(texts(events), expected);
  }
});

void test('the ring is bounded in bytes', async () => {
  const store = new FakeStore();
  const log = store.log({ maxBytes: 10_000 });
  const after = log.cursor();
  for (let n = 0; n < 10; n++) log.append({ type: 'warning', message: 'x'.repeat(3000) });
  const [first] = await take(log.subscribe({ after, signal: running() }), 1);
  assert.equal(first!.type, 'resync');
});

void test('a view is made only when somebody reads it', () => {
  const log = new FakeStore().log();
  log.append({ type: 'message', row: 1, bytes: 10, view: () => assert.fail('nobody reads') });
});

void test('the signal ends a waiting reader', async () => {
  const log = new FakeStore().log();
  const controller = new AbortController();
  const batches = log.subscribe({ signal: controller.signal })[Symbol.asyncIterator]();
  const waiting = batches.next();
  controller.abort();
  assert.equal((await waiting).done, true);
});

void test('a malformed cursor, and one from the future, is refused at the call', () => {
  const log = new FakeStore().log();
  const future = log.cursor().replace(/\.0\./, '.7.');
  for (const after of ['', 'x', '1.2.3', `${log.cursor()}0.`, 'AAAAAAAAAAA.-1.0', future]) {
    assert.throws(
      () => log.subscribe({ after, signal: running() }),
      (error) => error instanceof ControlError && error.code === 'invalid' && error.field === 'after',
      after,
    );
  }
});

void test('whatever the schedule, a follower of cursors sees every message once and in order', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('commit' as const), count: fc.integer({ min: 1, max: 700 }) }),
    fc.record({ do: fc.constant('append' as const) }),
    fc.record({ do: fc.constant('other' as const), count: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ do: fc.constant('read' as const), batches: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constant('lose' as const), keep: fc.integer({ min: 0, max: 300 }) }),
    fc.record({ do: fc.constant('reconnect' as const) }),
    fc.record({ do: fc.constant('restart' as const) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40, size: 'max' }),
      fc.integer({ min: 1, max: 40 }),
      async (steps, maxEvents) => {
        const store = new FakeStore();
        let log = store.log({ maxEvents });
        let cursor = log.cursor();
        const seen: number[] = [];
        const connect = (): AsyncIterator<EventView[]> =>
          log.subscribe({ after: cursor, signal: running() })[Symbol.asyncIterator]();
        let reader = connect();
        const see = (events: EventView[]): void => {
          for (const event of events) {
            cursor = event.cursor;
            if (event.type === 'message') seen.push(event.message.seq);
          }
        };
        const behind = (): boolean => seen.length < store.appended;
        const all = [...steps, { do: 'append' as const }, { do: 'read' as const, batches: Infinity }];
        for (const next of all) {
          if (next.do === 'commit') store.rows += next.count;
          if (next.do === 'append') store.append(log);
          if (next.do === 'other') {
            for (let n = 0; n < next.count; n++) log.append({ type: 'warning', message: 'w' });
          }
          if (next.do === 'read') {
            for (let n = 0; n < next.batches && behind(); n++) see((await reader.next()).value);
          }
          if (next.do === 'lose' && behind()) {
            see((await reader.next()).value.slice(0, next.keep));
            reader = connect();
          }
          if (next.do === 'reconnect') reader = connect();
          if (next.do === 'restart') {
            log = store.log({ maxEvents });
            reader = connect();
          }
        }
        assert.equal(seen.length, store.rows);
        assert.ok(seen.every((row, index) => row === index + 1));
      },
    ),
    { numRuns: 200 },
  );
});
