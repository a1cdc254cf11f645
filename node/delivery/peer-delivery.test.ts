import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { decodeMessage } from '../../protocols/chat/message.ts';
import { decodeFrame } from '../../protocols/chat/protocol.ts';
import type { NodeOperations } from '../store/operations.ts';
import { messagesIn, testStore, unproved } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import { counted, fakeChat, fakeClock, outgoingChain, quiet, silentLog, until } from './delivery-fixture.ts';
import type { FakeChat, FakeClock } from './delivery-fixture.ts';
import { peerDelivery } from './peer-delivery.ts';
import type { PeerDelivery } from './peer-delivery.ts';

const BOB = 'bob';
const HOUR_MS = 3600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

let store: TestStore;
let clock: FakeClock;
let stop: AbortController;
let delivery: PeerDelivery;
/** Dials in progress, and how many there have been. */
let dials: PromiseWithResolvers<OpenChat>[];
let dialled: number;
let chats: FakeChat[];
/** What was left in the mailbox: counters, or the other frames' kinds. `mailbox` decides what becomes of it. */
let deposited: (number | string)[][];
let mailbox: () => Promise<void>;
/** What asking for a sign of life comes to. */
let verify: () => Promise<boolean>;
let storedRows: number;

beforeEach(() => {
  store = testStore();
  clock = fakeClock();
  stop = new AbortController();
  dials = [];
  dialled = 0;
  chats = [];
  deposited = [];
  storedRows = 0;
  mailbox = () => Promise.resolve();
  verify = () => Promise.resolve(true);
  delivery = create();
});
afterEach(async () => {
  stop.abort(new Error('stopped'));
  for (const dial of dials) dial.reject(new Error('stopped'));
  for (const chat of chats) chat.end();
  await quiet();
  store.close();
});

function create(): PeerDelivery {
  return peerDelivery({
    peer: BOB,
    store: store.client,
    ways: {
      openChat() {
        dialled++;
        const dial = Promise.withResolvers<OpenChat>();
        dials.push(dial);
        return dial.promise;
      },
      async deposit(_, frames) {
        await mailbox();
        deposited.push(
          frames.map((frame) => {
            const { body } = decodeFrame(frame);
            return body.case === 'message' ? decodeMessage(body.value).counter : body.case!;
          }),
        );
      },
      verify: () => verify(),
    },
    askForPrekeys: async () => [],
    log: silentLog,
    now: () => clock.nowMs,
    random: () => 0,
    sleep: clock.sleep,
    signal: stop.signal,
    onStored: ({ rows }) => {
      storedRows += rows.length;
    },
  });
}

const commit = (count: number, bytes = 4): void => {
  const items = Array.from({ length: count }, () => ({ peer: BOB, text: 'x'.repeat(bytes) }));
  store.operations['messages.send']({ items, nowMs: clock.nowMs });
};
const send = (count = 1): void => {
  commit(count);
  delivery.wake();
};
const dialling = (): Promise<void> => until(() => dials.length > 0, 'a dial');
const unreachable = async (): Promise<void> => {
  await dialling();
  dials.shift()!.reject(new Error('no answer'));
  await quiet();
};
const reached = async (): Promise<FakeChat> => {
  await dialling();
  const chat = fakeChat();
  chats.push(chat);
  dials.shift()!.resolve(chat);
  await until(() => delivery.live !== undefined, 'a live stream');
  return chat;
};
const settle = (chat: FakeChat): void => {
  const { chain } = outgoingChain(store, BOB);
  const last = chat.counters().at(-1)!;
  const settled = store.operations['messages.acked']({
    peer: BOB,
    chain,
    ...unproved([{ first: 1, last }]),
  })!;
  delivery.live!.acknowledged(settled.chain, settled.settled);
};
/** Something of theirs arrives through our mailbox: then an acknowledgement is owed. */
const oweAck = (): void => {
  const far = testStore();
  const { frames } = far.operations['messages.send']({ items: [{ peer: 'me', text: 'hi' }], nowMs: 1 });
  far.close();
  const batch = { peer: BOB, messages: messagesIn(frames), viaMailbox: true, nowMs: clock.nowMs };
  store.operations['messages.receive'](batch);
};
const owed = (): number => store.operations['messages.acks']({ peer: BOB, owedOnly: true }).answers.length;
const states = (): string[] =>
  store.operations['history.page']({ peer: BOB, limit: 100 }).map(({ state }) => state);

test('who answers gets everything on the stream and nothing goes to the mailbox', async () => {
  send(3);
  const chat = await reached();
  await until(() => chat.counters().length === 3);
  settle(chat);
  await clock.pass(HOUR_MS);
  assert.deepEqual(chat.counters(), [1, 2, 3]);
  assert.deepEqual(deposited, []);
  assert.deepEqual(delivery.trouble, { dial: undefined, mailbox: undefined });
});

test('after two seconds without an answer the mailbox gets it, while dialling goes on', async () => {
  send(2);
  await dialling();
  await clock.pass(1_999);
  assert.deepEqual(deposited, []);
  await clock.pass(1);
  assert.deepEqual(deposited, [[1, 2]]);
  assert.equal(storedRows, 2);
  assert.deepEqual(states(), ['stored', 'stored']);
  const chat = await reached();
  await until(() => chat.counters().length === 2);
  assert.equal(dialled, 1);
});

test('what comes while such a dial goes on follows into the mailbox at once', async () => {
  send();
  await dialling();
  await clock.pass(2_000);
  send();
  await until(() => deposited.length === 2);
  assert.deepEqual(deposited, [[1], [2]]);
  assert.equal(dialled, 1);
});

test('a dial that fails soon does not wait for the two seconds', async () => {
  send();
  await unreachable();
  assert.deepEqual(deposited, [[1]]);
  assert.equal(delivery.trouble.dial, 'no answer');
});

test('soon after a failed dial, new messages go to the mailbox without another', async () => {
  send();
  await unreachable();
  for (const expected of [2, 3]) {
    send();
    await until(() => deposited.length === expected);
  }
  assert.equal(dialled, 1);
  assert.deepEqual(deposited, [[1], [2], [3]]);
});

test('a clock set back ten years does not keep us from dialling', async () => {
  send();
  await unreachable();
  clock.nowMs -= 10 * YEAR_MS;
  delivery.wake();
  await dialling();
});

test('waits between dials double up to two minutes', async () => {
  send();
  const dialledAtMs: number[] = [];
  while (dialledAtMs.length < 9) {
    if (dials.length > 0) {
      dialledAtMs.push(clock.nowMs);
      await unreachable();
    }
    await clock.pass(1_000);
  }
  // With chance at its least, half of 2, 4, 8 s and so on, but a dial rests for five seconds after it has failed.
  assert.deepEqual(
    dialledAtMs.slice(1).map((atMs, index) => (atMs - dialledAtMs[index]!) / 1_000),
    [5, 6, 8, 8, 16, 32, 60, 60],
  );
});

test('presence ends the wait and starts it over', async () => {
  send();
  for (let attempt = 0; attempt < 6; attempt++) {
    await unreachable();
    await clock.pass(60_000);
    await dialling();
  }
  await unreachable();
  assert.deepEqual(clock.waiting(), [60_000]);
  delivery.present();
  await dialling();
  await unreachable();
  assert.deepEqual(clock.waiting(), [1_000]);
});

test('a mailbox that says nothing keeps nobody from dialling again', async () => {
  send();
  const blocked = Promise.withResolvers<void>();
  mailbox = () => blocked.promise;
  await unreachable();
  await clock.pass(10_000);
  await unreachable();
  delivery.present();
  await dialling();
  assert.equal(dialled, 3);
  assert.deepEqual(deposited, []);
  blocked.resolve();
});

test('who is seen while dialled, and yet not reached, is tried soon; not for ever soon', async () => {
  send();
  for (let attempt = 0; attempt < 4; attempt++) {
    await unreachable();
    await clock.pass(60_000);
    await dialling();
  }
  delivery.present();
  await unreachable();
  assert.deepEqual(clock.waiting(), [1_000]);
  const waits: number[] = [];
  for (let attempt = 0; attempt < 4; attempt++) {
    await clock.pass(60_000);
    await dialling();
    delivery.present();
    await unreachable();
    waits.push(clock.waiting()[0]!);
  }
  assert.deepEqual(waits, [2_000, 4_000, 8_000, 16_000]);
});

test('a refused deposit leaves it queued, says why, and is tried again', async () => {
  mailbox = () => Promise.reject(new Error('the mailbox is full'));
  send();
  await unreachable();
  assert.deepEqual(delivery.trouble, { dial: 'no answer', mailbox: 'the mailbox is full' });
  assert.deepEqual(states(), ['queued']);
  mailbox = () => Promise.resolve();
  await clock.pass(1_000);
  assert.deepEqual(deposited, [[1]]);
  assert.deepEqual(states(), ['stored']);
  assert.equal(delivery.trouble.mailbox, undefined);
});

test('new messages do not wake a mailbox that refused; the peer or the network does', async () => {
  let tries = 0;
  mailbox = () => {
    tries++;
    return Promise.reject(new Error('the mailbox is full'));
  };
  send();
  await unreachable();
  for (let message = 0; message < 3; message++) {
    send();
    await quiet();
  }
  assert.deepEqual([tries, dialled], [1, 1]);
  assert.deepEqual(states(), ['queued', 'queued', 'queued', 'queued']);
  assert.equal(delivery.trouble.mailbox, 'the mailbox is full');
  delivery.present();
  await unreachable();
  assert.deepEqual([tries, dialled], [2, 2]);
});

test('who is seen while it is dialled for long may take in its mailbox what that refused', async () => {
  let tries = 0;
  mailbox = () => {
    tries++;
    return tries === 1 ? Promise.reject(new Error('the mailbox is full')) : Promise.resolve();
  };
  send();
  await dialling();
  await clock.pass(2_000);
  assert.equal(tries, 1);
  delivery.present();
  await until(() => deposited.length === 1);
  assert.deepEqual(deposited, [[1]]);
});

test('a stream that lasted ends the rest of a mailbox that refused', async () => {
  mailbox = () => Promise.reject(new Error('the mailbox is full'));
  send();
  for (let attempt = 0; attempt < 6; attempt++) {
    await unreachable();
    await clock.pass(60_000);
  }
  const chat = await reached();
  await clock.pass(5_000);
  mailbox = () => Promise.resolve();
  chat.end(new Error('the network changed'));
  await unreachable();
  assert.deepEqual(deposited, [[1]]);
});

test('a deposit is cut into bundles that fit, and goes on where it was refused', async () => {
  let left = 2;
  mailbox = () => (left-- > 0 ? Promise.resolve() : Promise.reject(new Error('slow down')));
  commit(5, 25_000);
  delivery.wake();
  await unreachable();
  assert.deepEqual(deposited, [
    [1, 2],
    [3, 4],
  ]);
  assert.deepEqual(states(), ['stored', 'stored', 'stored', 'stored', 'queued']);
  left = 10;
  await clock.pass(1_000);
  assert.deepEqual(deposited.slice(2), [[5]]);
});

test('a deposit in progress does not hold up the stream, and stops for it', async () => {
  const blocked = Promise.withResolvers<void>();
  mailbox = () => blocked.promise;
  commit(6, 25_000);
  delivery.wake();
  await dialling();
  await clock.pass(2_000);
  const chat = await reached();
  await until(() => chat.counters().length === 6);
  blocked.resolve();
  await quiet();
  assert.deepEqual(deposited, [[1, 2]]);
});

test('what waited in a mailbox for six hours is left there again, and never shown as queued', async () => {
  commit(3, 25_000);
  delivery.wake();
  await unreachable();
  assert.equal(deposited.length, 2);
  let left = Infinity;
  mailbox = () => (left-- > 0 ? Promise.resolve() : Promise.reject(new Error('full')));
  const tryOn = async (ms: number): Promise<void> => {
    const endMs = clock.nowMs + ms;
    while (clock.nowMs < endMs) {
      await clock.pass(60_000);
      if (dials.length > 0) await unreachable();
      assert.deepEqual(states(), ['stored', 'stored', 'stored']);
    }
  };
  await tryOn(5.9 * HOUR_MS);
  assert.equal(deposited.length, 2);
  await tryOn(0.3 * HOUR_MS);
  assert.deepEqual(deposited.slice(2), [[1, 2], [3]]);
  left = 1;
  await tryOn(7 * HOUR_MS);
  assert.deepEqual(deposited.slice(4), [[1, 2]]);
  assert.equal(delivery.trouble.mailbox, 'full');
  left = Infinity;
  await tryOn(0.2 * HOUR_MS);
  assert.deepEqual(deposited.slice(5), [[3]], 'it goes on where it was refused');
  assert.equal(storedRows, 3);
});

test('a stream that breaks or ends at once counts as a failure', async () => {
  send();
  for (const [error, wait] of [
    [new Error('refused'), 1_000],
    [undefined, 2_000],
  ] as const) {
    const chat = await reached();
    chat.end(error);
    await until(() => clock.waiting().length > 0, 'a rest');
    assert.deepEqual(clock.waiting(), [wait]);
    assert.equal(delivery.live, undefined);
    assert.notEqual(delivery.trouble.dial, undefined);
    delivery.wake();
    await clock.pass(6_000);
  }
});

test('a stream that lasted is dialled again at once while something waits, and left alone otherwise', async () => {
  send();
  const first = await reached();
  await until(() => first.counters().length === 1);
  await clock.pass(5_000);
  first.end(new Error('the network changed'));
  const second = await reached();
  await until(() => second.counters().length === 1);
  settle(second);
  await clock.pass(5_000);
  second.end();
  await quiet();
  assert.equal(dialled, 2);
  assert.deepEqual(clock.waiting(), []);
  send();
  const third = await reached();
  await until(() => third.counters().length === 1);
  assert.deepEqual(third.counters(), [2]);
});

test('who is greeted anew gets another stream at once, also when the one before is young; nobody else is dialled', async () => {
  delivery.greetAnew();
  await quiet();
  assert.equal(dialled, 0);
  delivery.wake();
  const first = await reached();
  delivery.greetAnew();
  await reached();
  assert.equal(first.closedWith, undefined);
  assert.equal(dialled, 2);
  assert.equal(delivery.trouble.dial, undefined);
});

test('who is greeted anew while it is dialled hears the new greeting, too', async () => {
  delivery.wake();
  await dialling();
  delivery.greetAnew();
  const first = fakeChat();
  chats.push(first);
  dials.shift()!.resolve(first);
  await first.closed;
  await reached();
  assert.equal(dialled, 2);
});

test('a wake while dialling is answered by the stream, not by a dial after it', async () => {
  send();
  await dialling();
  send();
  const chat = await reached();
  await until(() => chat.counters().length === 2);
  settle(chat);
  await clock.pass(5_000);
  chat.end();
  await quiet();
  assert.equal(dialled, 1);
});

test('an acknowledgement that is owed goes on the stream', async () => {
  oweAck();
  delivery.wake();
  const chat = await reached();
  await until(() => owed() === 0);
  assert.deepEqual(
    chat.writes.flatMap(({ others }) => others.map((body) => body.case)),
    ['ack'],
  );
});

test('an acknowledgement that comes to be owed while a stream is open goes on it', async () => {
  send();
  const chat = await reached();
  await quiet();
  oweAck();
  delivery.wake();
  await until(() => owed() === 0);
  assert.deepEqual(
    chat.writes.flatMap(({ others }) => others.map((body) => body.case)),
    ['ack'],
  );
});

test('what came through the mailbox beside a stream that leads nowhere is acknowledged through the mailbox', async () => {
  send();
  const chat = await reached();
  await until(() => chat.counters().length === 1);
  settle(chat);
  verify = async () => {
    chat.end(new Error('no sign of life'));
    return false;
  };
  clock.nowMs += 5_000;
  oweAck();
  delivery.wake();
  await until(() => delivery.live === undefined, 'the end of the stream');
  assert.deepEqual([owed(), chat.writes.flatMap(({ others }) => others)], [1, []]);
  await unreachable();
  await until(() => owed() === 0);
  assert.deepEqual(deposited, [['ack']]);
});

test('a stream is put to the test when the peer or the network comes back', async () => {
  send();
  const chat = await reached();
  let asked = 0;
  verify = async () => {
    asked++;
    chat.end(new Error('no sign of life'));
    return false;
  };
  clock.nowMs += 5_000;
  delivery.present();
  await dialling();
  assert.deepEqual([asked, delivery.live], [1, undefined]);
});

test('an acknowledgement that is owed goes to the mailbox of who can not be reached, and stays owed if refused', async () => {
  mailbox = () => Promise.reject(new Error('full'));
  oweAck();
  delivery.wake();
  await unreachable();
  assert.equal(owed(), 1);
  mailbox = () => Promise.resolve();
  await clock.pass(1_000);
  assert.equal(owed(), 0);
  assert.deepEqual(deposited, [['ack']]);
  await clock.pass(HOUR_MS);
  assert.equal(dialled, 1);
});

test('a store that fails for a while delays, and ends nothing', async () => {
  const { call } = store.client;
  let fails = true;
  store.client.call = ((...args: Parameters<typeof call>) =>
    fails ? Promise.reject(new Error('the disk is full')) : call(...args)) as typeof call;
  send();
  await unreachable();
  await clock.pass(1_000);
  fails = false;
  await clock.pass(60_000);
  const chat = await reached();
  await until(() => chat.counters().length === 1);
});

test('stopping ends the wait, and a dial after it has failed', async () => {
  send();
  await unreachable();
  stop.abort(new Error('stopped'));
  await quiet();
  assert.deepEqual(clock.waiting(), []);
  delivery.wake();
  await quiet();
  assert.equal(dialled, 1);
});

test('a long outbox goes to the mailbox whole and in order', async () => {
  const sent: keyof NodeOperations = 'messages.send';
  store.operations[sent]({
    items: Array.from({ length: 2_000 }, () => ({ peer: BOB, text: 'x'.repeat(100) })),
    nowMs: clock.nowMs,
  });
  delivery.wake();
  await unreachable();
  assert.deepEqual(deposited.flat(), counted(1, 2_000));
});
