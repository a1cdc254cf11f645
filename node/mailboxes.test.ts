import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Connection } from '@libp2p/interface';
import { defaultLogger } from '@libp2p/logger';
import { streamPair } from '@libp2p/utils';
import { encodeBundle } from '../protocols/chat/protocol.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { encodeUnsealed } from '../protocols/mailbox/envelope.ts';
import { mailboxHandler } from '../protocols/mailbox/handler.ts';
import type { Answer } from '../protocols/mailbox/protocol.ts';
import { Status } from '../protocols/mailbox/protocol.ts';
import { mailboxIntake } from './mailbox-intake.ts';
import { mailboxes } from './mailboxes.ts';
import { peerIdOf } from './peer-ids.ts';
import { NOON_MS, person } from './phonebook-fixture.ts';

const { signal } = new AbortController();
const log = defaultLogger().forComponent('test');

/** Mailboxes of one recipient, each answering as told; one without an answer is down until the test ends. */
async function world(t: TestContext, given: (Partial<Answer> | Error | undefined)[], allowUnsealed = true) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const [me, recipient] = [await person(), await person()];
  const addresses: MailboxAddress[] = [];
  const answers = new Map<string, Partial<Answer> | Error | undefined>();
  const dialled: string[][] = [];
  const verified: string[] = [];
  for (const answer of given) {
    const { peerId } = await person();
    answers.set(peerId, answer);
    addresses.push({ peerId, multiaddrs: ['/ip4/192.0.2.1/tcp/1'] });
  }
  const newStream = async (answer: Partial<Answer>) => {
    const [outbound, inbound] = await streamPair();
    const serve = mailboxHandler(
      {
        deposit: async (_, deposits) =>
          deposits.map(() => ({
            status: Status.STORED,
            keptUntilMs: NOON_MS,
            retryAfterMs: 0,
            detail: '',
            ...answer,
          })),
        collect: () => assert.fail('not asked for'),
      },
      { signal: stop.signal },
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
        const answer = answers.get(texts[0]!.split('/').at(-1)!);
        if (answer instanceof Error) throw answer;
        if (answer === undefined && !signal.aborted) await once(signal, 'abort');
        signal.throwIfAborted();
        return { newStream: () => newStream(answer!) };
      }) as never,
    },
    privateKey: me.key,
    allowUnsealed,
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
    dialled,
    verified,
    stop,
    deposit: () => box.deposit(recipient.peerId, frames, { signal }),
  };
}

void test('one mailbox that is down does not hold up the other', async (t) => {
  const { deposit } = await world(t, [undefined, {}]);
  await deposit();
  await deposit();
});

void test('a mailbox that says nothing is asked for a sign of life, one that has answered is not', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { deposit, addresses, verified } = await world(t, [undefined, {}]);
  await deposit();
  t.mock.timers.tick(3_000);
  assert.deepEqual(verified, [addresses[0]!.peerId]);
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
  await assert.rejects((await world(t, [{}], false)).deposit(), /--allow-unsealed/);
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

void test('what can not be opened is passed over, what can not be stored stays in the mailbox', async (t) => {
  const { box, me } = await world(t, []);
  const [ada, ben] = [await person(), await person()];
  const recipient = peerIdOf(me.peerId);
  const blobOf = async (key: Parameters<typeof encodeUnsealed>[0], to: string, bundle: Uint8Array) => ({
    depositor: recipient,
    depositedAtMs: NOON_MS,
    blob: await encodeUnsealed(key, { recipient: peerIdOf(to), bundle, nowMs: NOON_MS }),
  });
  const good = (n: number): Uint8Array => encodeBundle([Uint8Array.of(n)]);
  const blobs = [
    await blobOf(ada.key, me.peerId, good(1)),
    { depositor: recipient, depositedAtMs: NOON_MS, blob: Uint8Array.of(255) },
    await blobOf(ada.key, ben.peerId, good(9)),
    await blobOf(ben.key, me.peerId, good(2)),
    await blobOf(ben.key, me.peerId, Uint8Array.of(255)),
    await blobOf(await generateKeyPair('secp256k1'), me.peerId, good(9)),
    await blobOf(ada.key, me.peerId, good(3)),
  ];
  const taken: [string, number][] = [];
  const take = mailboxIntake({
    open: box.open,
    receiveBundle: async (peer, [frame]) => void taken.push([peer, frame![0]!]),
  });
  await take(blobs);
  const of = (peer: string): number[] => taken.filter(([sender]) => sender === peer).map(([, n]) => n);
  assert.deepEqual(of(ada.peerId), [1, 3]);
  assert.deepEqual(of(ben.peerId), [2]);
  assert.equal(taken.length, 3);
  const full = mailboxIntake({
    open: box.open,
    receiveBundle: () => Promise.reject(new Error('disk full')),
  });
  await assert.rejects(full(blobs), /disk full/);
});
