import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import type { OpenChat } from '../../protocols/chat/client.ts';
import type { ChatDecisions } from '../../protocols/chat/decisions.ts';
import { sortFrames } from '../../protocols/chat/decisions.ts';
import type { Hello } from '../../protocols/chat/chat_pb.ts';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { encodeAck, encodeReceipt, encodeRefusal } from '../../protocols/chat/protocol.ts';
import { framesIn, testStore } from '../store/store-fixture.ts';
import type { TestStore } from '../store/store-fixture.ts';
import { fakeChat, fakeClock, outgoingChain, quiet, silentLog, UNSEALED, until } from './delivery-fixture.ts';
import type { FakeChat, FakeClock } from './delivery-fixture.ts';
import { delivery as createDelivery } from './delivery.ts';
import type { Arrival, Delivery, DeliveryInit, Outgoing, OutgoingState } from './delivery.ts';

type Told = { index: number; state: OutgoingState; failure: string | null };

interface Person {
  store: TestStore;
  delivery: Delivery;
  /** What the rest of the daemon was told: states by row, and arrivals. */
  states: Map<number, OutgoingState[]>;
  arrivals: (Arrival & { peer: string })[];
  sent: number[];
  greeted: string[];
  /** Chats that will be opened; without one, nobody answers. */
  chats: Map<string, FakeChat>;
  deposits: { peer: string; frames: Uint8Array[] }[];
  opened: string[];
  log: string[];
}

let clock: FakeClock;
let stop: AbortController;
let people: Person[];

beforeEach(() => {
  clock = fakeClock();
  stop = new AbortController();
  people = [];
});
afterEach(async () => {
  stop.abort(new Error('stopped'));
  for (const { chats } of people) for (const chat of chats.values()) chat.end();
  await quiet();
  for (const { store } of people) store.close();
});

const HELLO = { features: [], contactCard: new Uint8Array(0), nameCertificate: new Uint8Array(0) };

/** Everybody knows everybody. */
const NOBODY_ASKS: DeliveryInit['acquaintances'] = {
  beforeSending: () => undefined,
  requested: () => undefined,
  keepsUsWaiting: () => false,
  decisions: {
    inviteToken: async () => undefined,
    depositCapability: async () => undefined,
    pending: async () => undefined,
  },
};

function person({ rememberedPeers = 1_000 } = {}): Person {
  const self: Omit<Person, 'delivery'> = {
    store: testStore(),
    states: new Map(),
    arrivals: [],
    sent: [],
    greeted: [],
    chats: new Map(),
    deposits: [],
    opened: [],
    log: [],
  };
  const created = createDelivery({
    store: self.store.client,
    ways: {
      async openChat(peer): Promise<OpenChat> {
        self.opened.push(peer);
        const chat = self.chats.get(peer);
        if (chat === undefined) throw new Error('nobody answers');
        return chat;
      },
      async deposit(peer, frames) {
        self.deposits.push({ peer, frames });
      },
      verify: async () => true,
    },
    ...UNSEALED,
    acquaintances: NOBODY_ASKS,
    log: Object.assign((...args: unknown[]) => {
      self.log.push(args.join(' '));
    }, silentLog),
    now: () => clock.nowMs,
    random: () => 0,
    sleep: clock.sleep,
    rememberedPeers,
    signal: stop.signal,
    hello: () => HELLO,
    greeted: (peer) => self.greeted.push(peer),
    onChange({ rows, state, idAt }) {
      for (const [index, row] of rows.entries()) {
        self.states.set(row, [...(self.states.get(row) ?? []), state]);
        assert.equal(self.store.operations['history.message']({ id: idAt(index) })!.row, row);
      }
    },
    onReceived: (peer, arrivals) => self.arrivals.push(...arrivals.map((arrival) => ({ ...arrival, peer }))),
    onSent: (batch) => self.sent.push(...batch.rows),
  });
  const whole = { ...self, delivery: created };
  people.push(whole);
  return whole;
}

/** Takes frames that were in one blob. */
const takeMail = (to: Person, peer: string, frames: Uint8Array[]): Promise<void> =>
  to.delivery.receiveBundles(peer, [frames], { sessions: [], usedPrekeys: [] });

/** Opens a stream for who asks for it. */
function reachable(from: Person, peer: string): FakeChat {
  const chat = fakeChat();
  from.chats.set(peer, chat);
  return chat;
}

const chainTo = (from: Person, peer: string): Uint8Array => outgoingChain(from.store, peer).chain;
const tell = (to: Person, peer: string, frames: Uint8Array[]): Promise<void> =>
  sortFrames(frames)
    .tell(to.delivery.decisions, peer)
    .then(() => undefined);
const acked = (chain: Uint8Array, upTo: number): Uint8Array => encodeAck(chain, [{ first: 1, last: upTo }]);
const text = (peer: string, ...texts: string[]): Outgoing[] => texts.map((text) => ({ peer, text }));

test('what is sent is on disk before it is answered, told of, and on its way', async () => {
  const ann = person();
  const chat = reachable(ann, 'bob');
  const { rows, idAt } = await ann.delivery.send(text('bob', 'one', 'two'));
  assert.deepEqual(ann.sent, [...rows]);
  const stored = ann.store.operations['history.message']({ id: idAt(1) })!;
  assert.deepEqual([stored.text, stored.state], ['two', 'queued']);
  await until(() => chat.counters().length === 2);
  await quiet();
  await ann.delivery.send(text('bob', 'three'));
  assert.deepEqual(chat.counters(), [1, 2, 3], 'an open stream gets it from the commit');
});

test('one send to several people reaches each of them', async () => {
  const ann = person();
  const [bob, cem] = [reachable(ann, 'bob'), reachable(ann, 'cem')];
  const mixed = ['bob', 'cem', 'bob', 'bob', 'cem'].map((peer) => ({ peer, text: 'x' }));
  await ann.delivery.send(mixed);
  await until(() => bob.counters().length === 3 && cem.counters().length === 2);
  await quiet();
  await ann.delivery.send(mixed);
  assert.deepEqual(
    [bob.counters(), cem.counters()],
    [
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 4],
    ],
  );
});

test('a store that refuses refuses the send, and nothing is told', async () => {
  const ann = person();
  ann.store.client.call = () => Promise.reject(new Error('the disk is full'));
  await assert.rejects(ann.delivery.send(text('bob', 'one')), { message: 'the disk is full' });
  assert.deepEqual(ann.sent, []);
});

test('a tracker is told of stored, then of what settles it, by index; not after', async () => {
  const ann = person();
  const told: Told[] = [];
  await ann.delivery.send(text('bob', 'one', 'two', 'three'), (changes) => told.push(...changes));
  await until(() => told.length === 3, 'stored');
  const chain = chainTo(ann, 'bob');
  await tell(ann, 'bob', [acked(chain, 1)]);
  await tell(ann, 'bob', [encodeRefusal(chain, 2, Refusal_Reason.TOO_LARGE)]);
  await tell(ann, 'bob', [encodeReceipt(chain, 3)]);
  assert.deepEqual(told, [
    { index: 0, state: 'stored', failure: null },
    { index: 1, state: 'stored', failure: null },
    { index: 2, state: 'stored', failure: null },
    { index: 0, state: 'delivered', failure: null },
    { index: 1, state: 'failed', failure: 'too-large' },
    { index: 2, state: 'read', failure: null },
  ]);
  const [one, two, three] = ann.sent as [number, number, number];
  assert.deepEqual(ann.states.get(one), ['stored', 'delivered', 'read']);
  assert.deepEqual(ann.states.get(two), ['stored', 'failed']);
  assert.deepEqual(ann.states.get(three), ['stored', 'read']);
});

test('trackers of two sends are told apart, and who has left is told nothing', async () => {
  const ann = person();
  const told: string[] = [];
  const tracker = (name: string) => (changes: Told[]) => {
    for (const { index, state } of changes) told.push(`${name} ${index} ${state}`);
  };
  reachable(ann, 'bob');
  await ann.delivery.send(text('bob', '1'), tracker('a'));
  await ann.delivery.send(text('bob', '2', '3'), tracker('b'));
  const gone = await ann.delivery.send(text('bob', '4'), tracker('c'));
  gone.untrack();
  await tell(ann, 'bob', [acked(chainTo(ann, 'bob'), 4)]);
  assert.deepEqual(told, ['a 0 delivered', 'b 0 delivered', 'b 1 delivered']);
});

test('acknowledgements are told once, and those about chains of others say nothing', async () => {
  const ann = person();
  reachable(ann, 'bob');
  await ann.delivery.send(text('bob', 'one'));
  const chain = chainTo(ann, 'bob');
  await tell(ann, 'bob', [acked(chain, 1)]);
  await tell(ann, 'bob', [acked(chain, 1)]);
  assert.deepEqual([...ann.states.values()], [['delivered']]);
  await tell(ann, 'mallory', [
    acked(chain, 1),
    encodeReceipt(chain, 1),
    encodeRefusal(chain, 1, Refusal_Reason.CONFLICT),
  ]);
  assert.deepEqual([...ann.states.values()], [['delivered']]);
});

/** Ann's store goes back to before 'two', which bob has; what he acknowledges. */
async function goBack(ann: Person): Promise<Uint8Array[]> {
  const bob = person();
  await ann.delivery.send(text('bob', 'one'));
  const old = ann.store.backup();
  await ann.delivery.send(text('bob', 'two'));
  const frames: Uint8Array[] = [];
  await until(() => frames.push(...mail(ann)) === 2, 'both in the mailbox');
  await takeMail(bob, 'ann', frames);
  ann.store.restore(old);
  ann.states.clear();
  return bob.delivery.decisions.held('ann');
}

/** The messages of ann's history and where they stand. */
const ownStates = ({ store }: Person): [string, string][] =>
  store.operations['history.page']({ peer: 'bob', limit: 10 }).map(({ text, state }) => [text, state]);

test('an acknowledgement that shows our store to be an old copy is not believed; what waits is sent anew', async () => {
  const ann = person();
  const held = await goBack(ann);
  const told: string[] = [];
  const { rows } = await ann.delivery.send(text('bob', 'three'), (changes) => {
    for (const { state } of changes) told.push(state);
  });
  await until(() => told.length === 1, 'a deposit');
  ann.deposits.length = 0;
  await takeMail(ann, 'bob', held);
  await until(() => told.length === 3, 'another deposit');
  assert.deepEqual(ann.states.get(rows[0]!), ['stored', 'queued', 'stored']);
  assert.deepEqual(told, ['stored', 'queued', 'stored']);
  // Bob takes what lies in his mailbox now, and says so.
  const bob = person();
  await takeMail(bob, 'ann', mail(ann));
  await tell(ann, 'bob', await bob.delivery.decisions.held('ann'));
  assert.deepEqual(told, ['stored', 'queued', 'stored', 'delivered']);
});

test('a stream on which the old numbers may be under way is replaced', async () => {
  const ann = person();
  const held = await goBack(ann);
  const first = reachable(ann, 'bob');
  await ann.delivery.send(text('bob', 'three'));
  await clock.pass(10_000);
  await until(() => first.counters().length === 2, 'a live stream');
  await clock.pass(2_000);
  const second = fakeChat();
  ann.chats.set('bob', second);
  await tell(ann, 'bob', held);
  await until(() => second.counters().length === 2, 'the next stream');
  assert.deepEqual(second.counters(), [1, 2]);
  await tell(ann, 'bob', [acked(chainTo(ann, 'bob'), 2)]);
  await first.closed;
});

test('a peer for whom chains were begun again and again is not believed any more', async () => {
  const ann = person();
  await ann.delivery.send(text('bob', 'one'));
  const lie = (): Promise<void> => tell(ann, 'bob', [acked(chainTo(ann, 'bob'), 9)]);
  await assert.rejects(
    async () => {
      for (let count = 0; count < 100; count++) await lie();
    },
    { name: 'InvalidMessageError' },
  );
  assert.deepEqual(ownStates(ann), [['one', 'queued']]);
});

test('a receipt that overtakes its acknowledgement frees the window too', async () => {
  const ann = person();
  const chat = reachable(ann, 'bob');
  await ann.delivery.send(Array.from({ length: 4_096 }, () => ({ peer: 'bob', text: 'x' })));
  await until(() => chat.counters().length === 4_096, 'a full window');
  await ann.delivery.send(text('bob', 'more'));
  await quiet();
  assert.equal(chat.counters().length, 4_096);
  await tell(ann, 'bob', [encodeReceipt(chainTo(ann, 'bob'), 4_096)]);
  await until(() => chat.counters().length === 4_097, 'the next message');
});

/** Frames that `from` left for `peer` in its mailbox. */
const mail = (from: Person): Uint8Array[] => from.deposits.splice(0).flatMap(({ frames }) => frames);

test('through mailboxes: stored, then delivered when the acknowledgement comes back the same way', async () => {
  const [ann, bob] = [person(), person()];
  await ann.delivery.send(text('bob', 'one', 'two'));
  await until(() => ann.deposits.length > 0, 'a deposit');
  await takeMail(bob, 'ann', mail(ann));
  assert.deepEqual(
    bob.arrivals.map(({ peer, missing }) => [peer, missing]),
    [
      ['ann', 0],
      ['ann', 0],
    ],
  );
  await until(() => bob.deposits.length > 0, 'an acknowledgement');
  assert.deepEqual([...ann.states.values()], [['stored'], ['stored']]);
  await takeMail(ann, 'bob', mail(bob));
  assert.deepEqual(
    [...ann.states.values()],
    [
      ['stored', 'delivered'],
      ['stored', 'delivered'],
    ],
  );
  await clock.pass(24 * 3600_000);
  assert.deepEqual([ann.deposits, bob.deposits], [[], []], 'nobody answers an answer');
});

test('what arrives twice is told once', async () => {
  const [ann, bob] = [person(), person()];
  await ann.delivery.send(text('bob', 'one', 'two'));
  await until(() => ann.deposits.length > 0);
  const frames = mail(ann);
  await takeMail(bob, 'ann', frames);
  await takeMail(bob, 'ann', frames);
  const messages = frames.map((frame) => sortFrames([frame]).messages[0]!);
  assert.equal((await bob.delivery.decisions.receive('ann', messages)).length, 1);
  assert.equal(bob.arrivals.length, 2);
});

test('what a mailbox hands over never breaks the collecting, however malformed', async () => {
  const ann = person();
  await takeMail(ann, 'mallory', [acked(new Uint8Array(8), 9)]);
  await takeMail(ann, 'mallory', [Uint8Array.of(255, 255, 255)]);
  await takeMail(ann, 'mallory', [encodeReceipt(new Uint8Array(8), 0)]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), (frames) =>
      takeMail(ann, 'mallory', frames),
    ),
  );
  assert.deepEqual(ann.arrivals, []);
});

test('an acknowledgement that makes no sense does not take the messages beside it with it', async () => {
  const [ann, bob] = [person(), person()];
  await bob.delivery.send(text('ann', 'one'));
  await until(() => bob.deposits.length > 0);
  await takeMail(ann, 'bob', [acked(new Uint8Array(8), 9), ...mail(bob)]);
  assert.equal(ann.arrivals.length, 1);
});

test('a bundle that can not be stored now is not taken', async () => {
  const [ann, bob] = [person(), person()];
  await bob.delivery.send(text('ann', 'one'));
  await until(() => bob.deposits.length > 0);
  ann.store.client.call = () => Promise.reject(new Error('the disk is full'));
  await assert.rejects(takeMail(ann, 'bob', mail(bob)), { message: 'the disk is full' });
});

test('a stream that opens is told what is held of its opener', async () => {
  const [ann, bob] = [person(), person()];
  await ann.delivery.send(text('bob', 'one', 'two'));
  await until(() => ann.deposits.length > 0);
  assert.deepEqual(await bob.delivery.decisions.held('ann'), []);
  await takeMail(bob, 'ann', mail(ann));
  await tell(ann, 'bob', await bob.delivery.decisions.held('ann'));
  assert.equal(ann.store.operations['history.summary']().undelivered, 0);
});

test('a hello is handed on and ends the wait of what waits for its peer', async () => {
  const ann = person();
  await ann.delivery.send(text('bob', 'one'));
  await until(() => ann.deposits.length > 0);
  await quiet();
  assert.deepEqual(ann.opened, ['bob']);
  assert.equal(ann.delivery.troubleWith('bob')!.dial, 'nobody answers');
  const chat = reachable(ann, 'bob');
  ann.delivery.decisions.greeted('bob', {} as Hello);
  assert.deepEqual(ann.greeted, ['bob']);
  await until(() => chat.counters().length === 1);
  assert.equal(ann.delivery.troubleWith('nobody'), undefined);
});

test('presence dials who is waited for, and nobody else', async () => {
  const ann = person();
  ann.store.operations['messages.send']({ items: text('bob', 'one'), nowMs: clock.nowMs });
  const chat = reachable(ann, 'bob');
  await ann.delivery.present('cem');
  await ann.delivery.present('bob');
  await until(() => chat.counters().length === 1);
  await ann.delivery.present('bob');
  await quiet();
  assert.deepEqual(ann.opened, ['bob']);
});

test('at start and when the network is back, all who are waited for are tried', async () => {
  const ann = person();
  for (const peer of ['bob', 'cem'])
    ann.store.operations['messages.send']({ items: text(peer, 'one'), nowMs: clock.nowMs });
  await ann.delivery.start();
  await quiet();
  assert.deepEqual(ann.opened, ['bob', 'cem']);
  const [bob, cem] = [reachable(ann, 'bob'), reachable(ann, 'cem')];
  ann.delivery.networkChanged();
  await until(() => bob.counters().length === 1 && cem.counters().length === 1);
});

test('a greeting opens a stream though nothing waits; receipts go on it, or nowhere', async () => {
  const ann = person();
  ann.delivery.sendReceipts('bob', [{ chain: new Uint8Array(8), readUpTo: 1, hash: new Uint8Array(32) }]);
  const chat = reachable(ann, 'bob');
  ann.delivery.greet('bob');
  await until(() => ann.opened.length === 1);
  await quiet();
  ann.delivery.sendReceipts('bob', []);
  assert.equal(chat.writes.length, 0);
  ann.delivery.sendReceipts('bob', [{ chain: new Uint8Array(8), readUpTo: 7, hash: new Uint8Array(32) }]);
  assert.equal(chat.writes[0]!.others[0]!.case, 'receipt');
});

/** Carries what is written on a stream to the other person, whose answers come back. */
function connect(from: Person, name: string, to: Person, peer: string): FakeChat {
  const chat = reachable(from, peer);
  const { write } = chat;
  let last = Promise.resolve();
  chat.write = (encoded) => {
    write(encoded);
    const carry = async (decisions: ChatDecisions): Promise<void> => {
      const { messages, tell: told } = sortFrames(framesIn(encoded));
      await told(decisions, name);
      if (messages.length > 0) await tell(from, peer, await decisions.receive(name, messages));
    };
    last = last.then(() => carry(to.delivery.decisions)).catch((error: Error) => chat.end(error));
  };
  return chat;
}

test('two people, streams that break, mailboxes: every state in order, everything once', async () => {
  const step = fc.constantFrom('ann sends', 'bob sends', 'cut', 'join', 'mail', 'time', 'read');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const [ann, bob] = [person(), person()];
      const names = { ann: [ann, bob, 'bob'], bob: [bob, ann, 'ann'] } as const;
      let sent = 0;
      const join = (): void => {
        for (const [name, [from, to, peer]] of Object.entries(names)) {
          if (!from.chats.has(peer)) connect(from, name, to, peer);
          from.delivery.present(peer).catch((error: unknown) => assert.fail(error as Error));
        }
      };
      const cut = (): void => {
        for (const { chats } of [ann, bob]) {
          for (const chat of chats.values()) chat.end(new Error('cut'));
          chats.clear();
        }
      };
      for (const next of steps) {
        if (next === 'ann sends') await ann.delivery.send(text('bob', `${sent++}`, `${sent++}`));
        else if (next === 'bob sends') await bob.delivery.send(text('ann', `${sent++}`));
        else if (next === 'cut') cut();
        else if (next === 'join') join();
        else if (next === 'mail') {
          await takeMail(bob, 'ann', mail(ann));
          await takeMail(ann, 'bob', mail(bob));
        } else if (next === 'time') await clock.pass(3_000);
        else {
          const message = bob.store.operations['history.inbox']({ after: 0, unread: true, limit: 1 })[0];
          if (message !== undefined) {
            const { receipts } = await bob.store.client
              .call('history.read', { peer: 'ann', id: message.id })
              .then((read) => read!);
            bob.delivery.sendReceipts('ann', receipts);
          }
        }
      }
      cut();
      await clock.pass(120_000);
      join();
      const undelivered = (): number =>
        ann.store.operations['history.summary']().undelivered +
        bob.store.operations['history.summary']().undelivered;
      for (let rounds = 0; undelivered() > 0 && rounds < 20; rounds++) await clock.pass(10_000);
      assert.equal(undelivered(), 0);
      assert.equal(ann.arrivals.length + bob.arrivals.length, sent);
      const rank = ['stored', 'delivered', 'read'];
      for (const { states } of [ann, bob]) {
        for (const reached of states.values()) {
          const ranks = reached.map((state) => rank.indexOf(state));
          assert.deepEqual(
            ranks,
            [...new Set(ranks)].sort((a, b) => a - b),
            reached.join(' '),
          );
        }
      }
      stop.abort(new Error('stopped'));
      cut();
      await quiet();
      stop = new AbortController();
    }),
    { numRuns: 40 },
  );
});

test('of peers for whom nothing waits, not all are remembered; of the others, each', async () => {
  const ann = person({ rememberedPeers: 3 });
  await ann.delivery.send(text('bob', 'one'));
  const strangers = Array.from({ length: 10 }, (_, index) => `stranger ${index}`);
  for (const stranger of strangers) {
    ann.delivery.greet(stranger);
    await clock.pass(10_000);
  }
  const known = strangers.filter((peer) => ann.delivery.troubleWith(peer) !== undefined);
  assert.ok(known.length > 0 && known.length <= 3, known.join(', '));
  assert.equal(known.at(-1), strangers.at(-1));
  assert.equal(ann.delivery.troubleWith('bob')!.dial, 'nobody answers');
  const chat = reachable(ann, 'bob');
  await ann.delivery.present('bob');
  await until(() => chat.counters().length === 1);
});
