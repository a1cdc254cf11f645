import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Connection } from '@libp2p/interface';
import { defaultLogger } from '@libp2p/logger';
import { streamPair } from '@libp2p/utils';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { mailboxHandler } from '../protocols/mailbox/handler.ts';
import { PrekeysRefused_Reason } from '../protocols/mailbox/prekey-frames.ts';
import type { Answer } from '../protocols/mailbox/protocol.ts';
import { Status } from '../protocols/mailbox/protocol.ts';
import { readSealed } from '../protocols/mailbox/sealed.ts';
import { mailboxes } from './mailboxes.ts';
import { peerIdOf } from './peer-ids.ts';
import { DAY_MS, NOON_MS, person } from './phonebook-fixture.ts';
import { newPrekeys } from './prekey-exchange.ts';
import { testStore } from './store/store-fixture.ts';

const { signal } = new AbortController();
const log = defaultLogger().forComponent('test');

/** What a mailbox has of the recipient's prekeys. */
type Prekeys = 'good' | "somebody else's" | 'none';

/** Mailboxes of one recipient, each answering as told; one without an answer is down until the test ends. */
async function world(
  t: TestContext,
  given: (Partial<Answer> | Error | undefined)[],
  prekeys: Prekeys[] = given.map(() => 'good'),
) {
  const stop = new AbortController();
  const store = testStore();
  t.after(() => {
    stop.abort();
    store.close();
  });
  const [me, recipient] = [await person(), await person()];
  const addresses: MailboxAddress[] = [];
  const answers = new Map<string, Partial<Answer> | Error | undefined>();
  const dialled: string[][] = [];
  const verified: string[] = [];
  const blobs: Uint8Array[] = [];
  const stocks = new Map<string, Prekeys>();
  for (const [index, answer] of given.entries()) {
    const { peerId } = await person();
    answers.set(peerId, answer);
    stocks.set(peerId, prekeys[index]!);
    addresses.push({ peerId, multiaddrs: ['/ip4/192.0.2.1/tcp/1'] });
  }
  /** Takes that a mailbox was serving at the same time, and the most there were. */
  const taking = { now: 0, most: 0 };
  const take = async (stock: Prekeys) => {
    taking.most = Math.max(taking.most, ++taking.now);
    try {
      return await answerTake(stock);
    } finally {
      taking.now--;
    }
  };
  const answerTake = async (stock: Prekeys) => {
    if (stock === 'none') {
      const reason = PrekeysRefused_Reason.NONE;
      return { type: 'prekeys-refused' as const, reason, retryAfterMs: 0, detail: '' };
    }
    const owner = stock === 'good' ? recipient : me;
    const [made] = await newPrekeys(owner.key, { count: 1, expiresMs: NOON_MS + DAY_MS });
    const { id, expiresMs } = made!.stored;
    const prekey = { id, expiresMs, prekey: made!.bundle };
    return { type: 'prekey-taken' as const, prekey, lastResort: false };
  };
  const newStream = async (mailbox: string) => {
    const [outbound, inbound] = await streamPair();
    const serve = mailboxHandler(
      {
        async deposit(_, deposits) {
          blobs.push(...deposits.map(({ blob }) => Uint8Array.from(blob)));
          return deposits.map(() => ({
            status: Status.STORED,
            keptUntilMs: NOON_MS,
            retryAfterMs: 0,
            detail: '',
            ...(answers.get(mailbox) as Partial<Answer>),
          }));
        },
        collect: () => assert.fail('not asked for'),
      },
      {
        signal: stop.signal,
        prekeys: {
          take: () => take(stocks.get(mailbox)!),
          publish: () => assert.fail('not asked for'),
          count: () => assert.fail('not asked for'),
        },
      },
    );
    void serve(inbound, { remotePeer: peerIdOf(me.peerId) } as Connection);
    return outbound;
  };
  const box = mailboxes({
    host: {
      getConnections: () => [],
      dial: (async (to: object[], { signal }: { signal: AbortSignal }) => {
        const texts = to.map(String);
        dialled.push(texts);
        const mailbox = texts[0]!.split('/').at(-1)!;
        const answer = answers.get(mailbox);
        if (answer instanceof Error) throw answer;
        if (answer === undefined && !signal.aborted) await once(signal, 'abort');
        signal.throwIfAborted();
        return { newStream: () => newStream(mailbox) };
      }) as never,
    },
    store: store.client,
    privateKey: me.key,
    nowMs: () => NOON_MS,
    log,
    signal: stop.signal,
    mailboxesOf: async () => addresses,
    async verify(node) {
      verified.push(node);
      return true;
    },
  });
  const frames = [Uint8Array.of(1)];
  return {
    me,
    box,
    addresses,
    answers,
    dialled,
    verified,
    stop,
    blobs,
    taking,
    deposit: () => box.deposit(recipient.peerId, frames, { signal }),
  };
}

void test('one mailbox that is down does not hold up the other', async (t) => {
  const { deposit, blobs } = await world(t, [new Error('connection refused'), {}]);
  await deposit();
  await deposit();
  assert.deepEqual(
    blobs.map((blob) => readSealed(blob).counter),
    [0, 1],
  );
});

void test('all mailboxes of a peer are given the same blob', async (t) => {
  const { deposit, blobs } = await world(t, [{}, {}]);
  await deposit();
  while (blobs.length < 2) await new Promise(setImmediate);
  assert.deepEqual(blobs[0], blobs[1]);
});

void test('what no mailbox took is offered again as it is; what one has taken is sealed anew', async (t) => {
  const { deposit, blobs, answers, addresses } = await world(t, [{ status: Status.FULL }]);
  await assert.rejects(deposit(), /full/);
  await assert.rejects(deposit(), /full/);
  assert.deepEqual(blobs[0], blobs[1]);
  answers.set(addresses[0]!.peerId, {});
  await deposit();
  await deposit();
  assert.deepEqual(
    blobs.map((blob) => readSealed(blob).counter),
    [0, 0, 0, 1],
  );
});

void test('a prekey is taken from the next mailbox when one has none, or one that the recipient did not sign', async (t) => {
  const { deposit, blobs } = await world(t, [{}, {}, {}], ['none', "somebody else's", 'good']);
  await deposit();
  assert.ok(readSealed(blobs[0]!).opening);
});

void test('of one mailbox, prekeys are taken one after the other', async (t) => {
  const { box, taking } = await world(t, [{ status: Status.STORED }]);
  const others = await Promise.all([person(), person(), person()]);
  // They are not theirs, and nothing is sealed to them.
  const refused = await Promise.allSettled(
    others.map(({ peerId }) => box.deposit(peerId, [Uint8Array.of(1)], { signal })),
  );
  assert.deepEqual(
    refused.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  assert.equal(taking.most, 1);
});

void test('nothing can be sealed without a prekey, and who reads the reason knows what it waits for', async (t) => {
  const none = await world(t, [{}, {}], ['none', 'none']);
  await assert.rejects(none.deposit(), {
    message: 'their mailbox has no prekey of theirs yet: it will be tried again',
  });
  assert.equal(none.blobs.length, 0);
  const forged = await world(t, [{}], ["somebody else's"]);
  await assert.rejects(forged.deposit(), /not signed by its owner/);
});

void test('a mailbox that says nothing is asked for a sign of life, one that has answered is not', async (t) => {
  const { deposit, addresses, answers, verified } = await world(t, [{}, {}]);
  await deposit();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  answers.set(addresses[0]!.peerId, undefined);
  addresses[0] = { ...addresses[0]!, peerId: (await person()).peerId };
  await deposit();
  t.mock.timers.tick(3_000);
  assert.deepEqual(verified, [addresses[0].peerId]);
});

void test('why none took it: what they answered comes before what the network did, each reason once', async (t) => {
  const { deposit } = await world(t, [
    new Error('connection refused'),
    { status: Status.RATE_LIMITED },
    { status: Status.FULL },
    new Error('connection refused'),
  ]);
  await assert.rejects(deposit(), {
    message: 'the mailbox of the recipient is full; too many deposits; connection refused',
  });
  const late = await world(t, [{ status: Status.EXPIRED }]);
  await assert.rejects(late.deposit(), /check the clock of this computer/);
  await assert.rejects((await world(t, [])).deposit(), /no mailbox of theirs is known/);
});

void test('a mailbox that has moved is dialled where it is now; addresses of others are not dialled', async (t) => {
  const { deposit, addresses, dialled } = await world(t, [new Error('gone')]);
  await assert.rejects(deposit());
  const { peerId: other } = await person();
  addresses[0]!.multiaddrs = [`/ip4/192.0.2.3/tcp/3/p2p/${other}`, '/ip4/192.0.2.2/tcp/2'];
  await assert.rejects(deposit());
  const { peerId } = addresses[0]!;
  assert.deepEqual(dialled, [[`/ip4/192.0.2.1/tcp/1/p2p/${peerId}`], [`/ip4/192.0.2.2/tcp/2/p2p/${peerId}`]]);
});

void test('stopping ends what waits', async (t) => {
  const { deposit, stop } = await world(t, [undefined]);
  const depositing = assert.rejects(deposit(), { name: 'Error', message: /abort/ });
  await new Promise(setImmediate);
  stop.abort();
  await depositing;
});
