import assert from 'node:assert/strict';
import { beforeEach, afterEach, mock, test } from 'node:test';
import { UnsupportedProtocolError } from '@libp2p/interface';
import type { Connection } from '@libp2p/interface';
import { dropSilent } from './silent-connections.ts';

interface FakeConnection {
  connection: Connection;
  droppedWith: Error | undefined;
}

/** A connection on which opening a stream comes to this; nothing at all unless said. */
function fake(outcome?: () => unknown): FakeConnection {
  const self: FakeConnection = {
    connection: {
      newStream: (_: string, { signal }: { signal: AbortSignal }) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
          if (outcome !== undefined) resolve(outcome());
        }),
      abort(error: Error) {
        self.droppedWith = error;
      },
    } as unknown as Connection,
    droppedWith: undefined,
  };
  return self;
}

let late: AbortController;
let patienceMs: number | undefined;

beforeEach(() => {
  late = new AbortController();
  mock.method(AbortSignal, 'timeout', (ms: number) => {
    patienceMs = ms;
    return late.signal;
  });
});
afterEach(() => mock.restoreAll());

const { signal } = new AbortController();

void test('a connection over which no answer comes in time is dropped, the others are not', async () => {
  let closed = 0;
  const answers = fake(() => ({ close: async () => closed++ }));
  const knowsNoPing = fake(() => {
    throw new UnsupportedProtocolError('no ping here');
  });
  const silent = fake();
  const dropping = dropSilent(
    [answers, knowsNoPing, silent].map(({ connection }) => connection),
    {
      signal,
      extraMs: 1_000,
    },
  );
  await new Promise(setImmediate);
  assert.equal(silent.droppedWith, undefined);
  late.abort(new Error('late'));
  assert.equal(await dropping, 1);
  assert.equal((silent.droppedWith as Error | undefined)?.name, 'TimeoutError');
  assert.deepEqual([answers.droppedWith, knowsNoPing.droppedWith, closed], [undefined, undefined, 1]);
  assert.equal(patienceMs, 5_000);
});

void test('who has heard of the peer meanwhile ends it, and nothing is dropped', async () => {
  const heard = new AbortController();
  const silent = fake();
  const dropping = dropSilent([silent.connection], { signal: heard.signal });
  heard.abort(new Error('heard'));
  assert.equal(await dropping, 0);
  assert.equal(silent.droppedWith, undefined);
});
