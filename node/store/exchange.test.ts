import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ackedRanges, decodeFrame } from '../../protocols/chat/protocol.ts';
import { hasCounter } from '../../protocols/chat/ranges.ts';
import type { Range } from '../../protocols/chat/ranges.ts';
import type { StoredMessage } from './history.ts';
import { framesIn, testStore } from './store-fixture.ts';
import type { TestStore } from './store-fixture.ts';

const NOW = 1_800_000_000_000;
const TEN_YEARS = 10 * 365 * 24 * 3600_000;
const RANK = { failed: -1, queued: 0, stored: 1, delivered: 2, read: 3, unread: 0 };

type Name = 'ann' | 'bob';
const other = (name: Name): Name => (name === 'ann' ? 'bob' : 'ann');

/** What a step does to the frames on their way. */
interface Fate {
  /** A frame is lost when its number, modulo this, is 0; 0 loses none. */
  lose: number;
  reverse: boolean;
  twice: boolean;
}

const FAIR: Fate = { lose: 0, reverse: false, twice: false };

type Step =
  | { kind: 'send'; who: Name; count: number }
  | { kind: 'live' | 'deposit' | 'collect'; who: Name; there: Fate; back: Fate }
  | { kind: 'pay'; who: Name; mailbox: boolean; there: Fate }
  | { kind: 'read'; who: Name; there: Fate }
  | { kind: 'restart' | 'lose mailbox'; who: Name }
  | { kind: 'restore'; who: Name; back: number }
  | { kind: 'clock'; who: Name; by: number };

const who = fc.constantFrom<Name>('ann', 'bob');
const fate = fc.record<Fate>({
  lose: fc.constantFrom(0, 0, 1, 2, 3, 5),
  reverse: fc.boolean(),
  twice: fc.boolean(),
});

const steps: fc.Arbitrary<Step>[] = [
  fc.record({ kind: fc.constant('send' as const), who, count: fc.integer({ min: 1, max: 6 }) }),
  fc.record({
    kind: fc.constantFrom('live' as const, 'deposit' as const, 'collect' as const),
    who,
    there: fate,
    back: fate,
  }),
  fc.record({ kind: fc.constant('pay' as const), who, mailbox: fc.boolean(), there: fate }),
  fc.record({ kind: fc.constant('read' as const), who, there: fate }),
  fc.record({ kind: fc.constantFrom('restart' as const, 'lose mailbox' as const), who }),
  fc.record({ kind: fc.constant('clock' as const), who, by: fc.constantFrom(1, 500, TEN_YEARS, -TEN_YEARS) }),
];

/** Much is said and arrives between one restore and the next: that is what an old copy does not know of. */
const restoring: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.oneof(...steps) },
  { weight: 3, arbitrary: steps[0]! },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('live' as const, 'deposit' as const, 'collect' as const),
      who,
      there: fc.oneof(fc.constant(FAIR), fate),
      back: fc.constant(FAIR),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('restore' as const),
      who,
      back: fc.integer({ min: 1, max: 12 }),
    }),
  },
);

function onTheWay<T>(items: readonly T[], { lose, reverse, twice }: Fate): T[] {
  const left = items.filter((_, index) => lose === 0 || (index + 1) % lose !== 0);
  if (reverse) left.reverse();
  return twice ? [...left, ...left] : left;
}

/** Two people, what each has written, and the mailboxes between them. */
class Town {
  readonly stores: Record<Name, TestStore> = { ann: testStore(), bob: testStore() };
  readonly written: Record<Name, string[]> = { ann: [], bob: [] };
  readonly clocks: Record<Name, number> = { ann: NOW, bob: NOW };
  /** Blobs for each: frames by the other. Collecting leaves them there when the acknowledgement is lost. */
  readonly mailboxes: Record<Name, Uint8Array[][]> = { ann: [], bob: [] };
  /** Each store as it was before every step. */
  readonly #backups: Record<Name, Uint8Array[]> = { ann: [], bob: [] };
  /** What each has ever held of the other. */
  readonly held: Record<Name, Set<string>> = { ann: new Set(), bob: new Set() };
  /** Somebody's store was replaced by an older copy of itself. */
  restored = false;
  readonly #seen = new Map<string, StoredMessage['state']>();

  ops(name: Name) {
    return this.stores[name].operations;
  }

  send(name: Name, count: number): void {
    const texts = Array.from({ length: count }, (_, index) => `${name} ${this.written[name].length + index}`);
    this.written[name].push(...texts);
    this.ops(name)['messages.send']({
      items: texts.map((text) => ({ peer: other(name), text })),
      nowMs: this.clocks[name],
    });
  }

  /** Frames reach `name`; what it answers. */
  arrive(name: Name, frames: Uint8Array[], viaMailbox: boolean, opening = false): Uint8Array[] {
    const peer = other(name);
    const messages: Uint8Array[] = [];
    for (const { body } of frames.map(decodeFrame)) {
      if (body.case === 'message') messages.push(body.value);
      else if (body.case === 'ack') {
        const told = { peer, chain: body.value.chain, ranges: ackedRanges(body.value), opening };
        const outcome = this.ops(name)['messages.acked'](told)?.outcome;
        if (!this.restored) assert.equal(outcome, 'taken');
      } else if (body.case === 'refusal' && this.restored) {
        const counter = Number(body.value.counter);
        this.ops(name)['messages.refused']({ peer, chain: body.value.chain, counter, reason: 'conflict' });
      } else assert.fail(`nothing is refused between honest nodes: ${body.case}`);
    }
    if (messages.length === 0) return [];
    const nowMs = this.clocks[name];
    const batch = this.ops(name)['messages.receive']({ peer, messages, viaMailbox, nowMs });
    if (!this.restored) assert.deepEqual(batch.refused, []);
    return batch.answers;
  }

  live(name: Name, there: Fate, back: Fate): void {
    const peer = other(name);
    // With the hello, or right behind it.
    const { answers: held } = this.ops(peer)['messages.acks']({ peer: name, owedOnly: false });
    this.arrive(name, held, false, !there.twice);
    for (const { chain, first } of this.ops(name)['messages.pending']({ peer })) {
      const page = { chain, after: first - 1, maxBytes: 1 << 16, maxCount: 4, skipStored: false };
      const { frames } = this.ops(name)['messages.frames'](page);
      const answers = this.arrive(peer, onTheWay(framesIn(frames), there), false);
      // A stream may lose its end, but never an Ack before a Refusal.
      const refuses = answers.some((answer) => decodeFrame(answer).body.case === 'refusal');
      this.arrive(name, refuses ? answers : onTheWay(answers, back), false);
    }
  }

  deposit(name: Name, there: Fate): void {
    const peer = other(name);
    for (const { chain, first } of this.ops(name)['messages.pending']({ peer })) {
      const page = { chain, after: first - 1, maxBytes: 1 << 16, maxCount: 3, skipStored: true };
      const { frames, ranges, count } = this.ops(name)['messages.frames'](page);
      if (count === 0) continue;
      this.mailboxes[peer].push(framesIn(frames));
      // Losing here is the mailbox's answer that does not come back: then it is left there again.
      if (there.lose !== 1)
        this.ops(name)['messages.stored']({ chain, ranges, nowMs: Math.max(0, this.clocks[name]) });
    }
  }

  collect(name: Name, there: Fate, back: Fate): void {
    const blobs = this.mailboxes[name];
    for (const frames of onTheWay(blobs, there)) this.arrive(name, frames, true);
    if (back.lose === 0) this.mailboxes[name] = there.lose === 0 ? [] : blobs;
  }

  pay(name: Name, mailbox: boolean, there: Fate): void {
    const peer = other(name);
    const { answers, held } = this.ops(name)['messages.acks']({ peer, owedOnly: true });
    if (answers.length === 0) return;
    if (mailbox) this.mailboxes[peer].push(answers);
    else this.arrive(peer, onTheWay(answers, there), false);
    this.ops(name)['messages.acks-paid']({ peer, held });
  }

  history(name: Name): StoredMessage[] {
    return this.ops(name)['history.page']({ peer: other(name), limit: 10_000 });
  }

  /** What must hold at every moment. */
  check(): void {
    for (const name of ['ann', 'bob'] as const) {
      const mine = this.history(name).filter(({ outgoing }) => outgoing);
      const arrived = this.history(other(name)).filter(({ outgoing }) => !outgoing);
      const ids = new Set(arrived.map(({ id }) => id));
      assert.equal(ids.size, arrived.length, 'nothing is shown twice');
      const held = this.held[other(name)];
      for (const id of ids) held.add(id);
      const counters = arrived.map(({ counter }) => counter);
      if (!this.restored) {
        assert.deepEqual(
          counters,
          counters.toSorted((a, b) => a - b),
          'in the order of the author',
        );
      }
      for (const { id, state, text } of mine) {
        assert.notEqual(state, 'failed');
        if (RANK[state] >= RANK.delivered) assert.ok(held.has(id), `${text} ${state} but not there`);
        const seen = this.#seen.get(id) ?? 'queued';
        // What a mailbox has under the number of a chain that was left, it is given again.
        if (!this.restored || seen !== 'stored') assert.ok(RANK[state] >= RANK[seen], `back to ${state}`);
        this.#seen.set(id, state);
      }
    }
  }

  backUp(): void {
    for (const name of ['ann', 'bob'] as const) this.#backups[name].push(this.stores[name].backup());
  }

  take(next: Step): void {
    const { who: name } = next;
    switch (next.kind) {
      case 'send':
        return this.send(name, next.count);
      case 'live':
        return this.live(name, next.there, next.back);
      case 'deposit':
        return this.deposit(name, next.there);
      case 'collect':
        return this.collect(name, next.there, next.back);
      case 'pay':
        return this.pay(name, next.mailbox, next.there);
      case 'read': {
        const message = this.history(name).findLast(({ outgoing }) => !outgoing);
        if (message === undefined) return;
        const { receipts } = this.ops(name)['history.read']({ peer: other(name), id: message.id })!;
        for (const receipt of onTheWay(receipts, next.there))
          this.ops(other(name))['messages.receipt']({ peer: name, ...receipt });
        return;
      }
      case 'restart':
        return this.stores[name].restart();
      case 'lose mailbox':
        this.mailboxes[name] = [];
        return;
      case 'restore':
        this.restored = true;
        this.#backups[name].splice(Math.max(1, this.#backups[name].length - next.back + 1));
        this.stores[name].restore(this.#backups[name].at(-1)!);
        for (const { id } of this.history(name)) this.#seen.delete(id);
        return;
      case 'clock':
        this.clocks[name] += next.by;
        return;
      default:
        return next;
    }
  }

  close(): void {
    this.stores.ann.close();
    this.stores.bob.close();
  }
}

test('whatever is lost, doubled, reordered or restarted: in the end everything has arrived once and in order', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(...steps), { maxLength: 40 }), (taken) => {
      const town = new Town();
      try {
        for (const next of taken) {
          town.take(next);
          town.check();
        }
        for (const name of ['ann', 'bob'] as const) {
          const peer = other(name);
          for (let rounds = 0; town.ops(name)['messages.pending']({ peer }).length > 0; rounds++) {
            assert.ok(rounds < 500, 'the outbox does not empty');
            town.live(name, FAIR, FAIR);
          }
          town.check();
          const arrived = town.history(peer).filter(({ outgoing }) => !outgoing);
          assert.deepEqual(
            arrived.map(({ text }) => text),
            town.written[name],
          );
          assert.ok(arrived.every(({ missing }) => missing === 0));
          assert.equal(town.ops(name)['history.summary']().undelivered, 0);
        }
      } finally {
        town.close();
      }
    }),
    { numRuns: 200 },
  );
});

/**
 * Whether `name` can tell that it has lost a message: not when it has nothing left of its chain, nor when it has taken
 * since, under the same counter or an earlier one, what the author wrote in another past. Then the chain is left, and what
 * counted as delivered in it is not looked at again; it takes that both have gone back.
 */
function canTell(town: Town, name: Name, { row, counter }: StoredMessage): boolean {
  const author = town.stores[other(name)].database;
  const recipient = town.stores[name].database;
  const { chain } = author
    .prepare('SELECT c.chain FROM messages m JOIN chains c ON c.id = m.chain WHERE m.row = ?')
    .get(row) as { chain: Uint8Array };
  const known = recipient
    .prepare(`SELECT delivered FROM chains WHERE chain = ? AND direction = 1 AND delivered != '[]'`)
    .get(chain) as { delivered: string } | undefined;
  if (known === undefined || hasCounter(JSON.parse(known.delivered) as Range[], counter)) return false;
  const before = (database: typeof author, direction: number): Map<number, string> =>
    new Map(
      database
        .prepare(
          `SELECT m.counter, hex(m.id) AS id FROM messages m JOIN chains c ON c.id = m.chain
           WHERE c.chain = ? AND c.direction = ? AND m.counter < ?`,
        )
        .all(chain, direction, counter)
        .map((found) => [found['counter'] as number, found['id'] as string]),
    );
  const written = before(author, 0);
  return [...before(recipient, 1)].every(([at, id]) => written.get(at) === id);
}

test('whoever goes back to an old copy of the store: all that is still written arrives, once, and is not claimed before', () => {
  fc.assert(
    fc.property(fc.array(restoring, { maxLength: 60, size: 'max' }), (taken) => {
      const town = new Town();
      try {
        for (const next of taken) {
          town.backUp();
          town.take(next);
          town.check();
        }
        for (const name of ['ann', 'bob'] as const) {
          const peer = other(name);
          town.send(name, 1);
          for (
            let rounds = 0;
            rounds < 3 || town.ops(name)['messages.pending']({ peer }).length > 0;
            rounds++
          ) {
            assert.ok(rounds < 500, 'the outbox does not empty');
            town.live(name, FAIR, FAIR);
            town.check();
          }
          const arrived = new Set(town.history(peer).map(({ id }) => id));
          const lost = town
            .history(name)
            .filter(({ outgoing, id }) => outgoing && !arrived.has(id))
            .filter((message) => !town.held[peer].has(message.id) || canTell(town, peer, message));
          assert.deepEqual(lost, []);
          assert.equal(town.ops(name)['history.summary']().undelivered, 0);
        }
      } finally {
        town.close();
      }
    }),
    { numRuns: 300 },
  );
});

test('through mailboxes alone, the acknowledgement comes back, too', () => {
  fc.assert(
    fc.property(fc.array(fate, { maxLength: 6 }), fc.integer({ min: 1, max: 20 }), (fates, count) => {
      const town = new Town();
      try {
        town.send('ann', count);
        for (const there of [...fates, ...Array.from({ length: 20 }, () => FAIR)]) {
          town.deposit('ann', there);
          town.collect('bob', there, there);
          town.pay('bob', true, there);
          town.collect('ann', there, there);
          town.check();
        }
        assert.deepEqual(town.ops('ann')['messages.pending']({ peer: 'bob' }), []);
        assert.deepEqual(town.ops('bob')['messages.waiting-peers'](), []);
      } finally {
        town.close();
      }
    }),
    { numRuns: 60 },
  );
});
