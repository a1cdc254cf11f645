import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { defaultLogger } from '@libp2p/logger';
import { createLibp2p } from 'libp2p';
import { phonebookHandler } from '../protocols/phonebook/handler.ts';
import { PhonebookError } from '../protocols/phonebook/errors.ts';
import { PHONEBOOK_PROTOCOL } from '../protocols/phonebook/protocol.ts';
import { libp2pBase } from '../protocols/transport/base.ts';
import { DAEMON_LIMITS } from '../protocols/transport/limits.ts';
import { addressesByNode, bootstrapLink, bootstrapPeerId } from './bootstrap-link.ts';
import type { BootstrapLink } from './bootstrap-link.ts';
import type { Host } from './host.ts';
import { DAY_MS, NOON_MS, person } from './phonebook-fixture.ts';

async function startNode(t: TestContext, listen: string[]) {
  const privateKey = await generateKeyPair('Ed25519');
  const base = libp2pBase({
    privateKey,
    listen,
    announce: [],
    limits: DAEMON_LIMITS,
    onListenError: () => undefined,
  });
  const node = await createLibp2p(base);
  t.after(() => node.stop());
  return { node, privateKey };
}

void test('an address of a bootstrap node has a way and a peer id; one node is linked once', async () => {
  const [{ peerId }, { peerId: other }] = [await person(), await person()];
  const rsa = (await generateKeyPair('secp256k1')).publicKey.toString();
  const home = `/ip4/192.0.2.1/tcp/4001/p2p/${peerId}`;
  assert.equal(bootstrapPeerId(home).toString(), peerId);
  for (const address of [
    '',
    'rubbish',
    '/ip4/192.0.2.1/tcp/4001',
    `/p2p/${peerId}`,
    `/ip4/192.0.2.1/tcp/1/p2p/${rsa}`,
  ])
    assert.throws(() => bootstrapPeerId(address), SyntaxError, address);
  const byName = `/dns4/a.example/tcp/4001/p2p/${peerId}`;
  const third = `/ip4/192.0.2.3/tcp/4001/p2p/${other}`;
  assert.deepEqual(addressesByNode([home, third, home, byName]), [[home, byName], [third]]);
});

void test('a node with a phonebook alone: we are there, what it refuses is in the status, changes are said, stopping is quick', async (t) => {
  const { node: hub } = await startNode(t, ['/ip4/127.0.0.1/tcp/0']);
  const { node: host, privateKey } = await startNode(t, []);
  const stop = new AbortController();
  let renewals = 0;
  let refuse: 'clock-skew' | undefined;
  const renewed: (() => void)[] = [];
  const unused = (): never => assert.fail('not asked for');
  await hub.handle(
    PHONEBOOK_PROTOCOL,
    phonebookHandler({
      decisions: {
        async renew() {
          renewals++;
          for (const tell of renewed.splice(0)) setImmediate(tell);
          return refuse === undefined
            ? { status: 'ok', intervalMs: 30_000, ownName: null }
            : { status: refuse };
        },
        claim: unused,
        release: unused,
        resolve: unused,
        list: unused,
      },
      nowMs: () => NOON_MS - 3650 * DAY_MS,
      signal: stop.signal,
    }),
  );
  const claimed: BootstrapLink[] = [];
  const claim = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const link = bootstrapLink({
    addresses: [hub.getMultiaddrs()[0]!.toString()],
    host,
    privateKey,
    unlisted: false,
    log: defaultLogger().forComponent('test'),
    nowMs: () => NOON_MS,
    random: () => 0,
    signal: stop.signal,
    contactCard: async () => new Uint8Array(0),
    async claimName(of) {
      claimed.push(of);
      if (claimed.length > 1) return;
      claim.resolve();
      await held.promise;
      throw new PhonebookError('taken');
    },
    onBlobs: async () => undefined,
    onConnected: () => undefined,
  });
  const running = link.run();
  await claim.promise;
  assert.equal(link.status.state, 'connected');
  // A change while we are speaking is not lost.
  const again = Promise.withResolvers<void>();
  renewed.push(again.resolve);
  refuse = 'clock-skew';
  link.refresh();
  held.resolve();
  await again.promise;
  assert.equal(link.status.detail, 'the name is taken; choose another name');
  while (!/10 years ahead/.test(link.status.detail ?? '')) await new Promise(setImmediate);
  assert.equal(renewals, 2);
  const sinceMs = performance.now();
  stop.abort();
  await running;
  assert.ok(performance.now() - sinceMs < 1000);
});

/** How long a link rests between dials of a node that drops it after a time. */
async function restsOf({ heldMs, count }: { heldMs: number; count: number }): Promise<number[]> {
  const { peerId, key: privateKey } = await person();
  const stop = new AbortController();
  const unused = (): never => assert.fail('not asked for');
  let nowMs = NOON_MS;
  const rests: number[] = [];
  await bootstrapLink({
    addresses: [`/ip4/192.0.2.1/tcp/4001/p2p/${peerId}`],
    host: {
      async dial() {
        nowMs += heldMs;
        throw new Error('the connection was lost');
      },
      getConnections: unused,
      getMultiaddrs: unused,
      addEventListener: unused,
      removeEventListener: unused,
    },
    privateKey,
    unlisted: false,
    log: defaultLogger().forComponent('test'),
    nowMs: () => nowMs,
    random: () => 0,
    async sleep(ms) {
      rests.push(ms);
      if (rests.length === count) stop.abort();
    },
    signal: stop.signal,
    contactCard: unused,
    claimName: unused,
    onBlobs: unused,
    onConnected: unused,
  }).run();
  return rests;
}

void test('a node that does not answer is dialled less and less often, but every half minute at least', async () => {
  const rests = await restsOf({ heldMs: 0, count: 9 });
  assert.deepEqual(rests, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

void test('a node that is started again and again is dialled soon each time, if it served in between', async () => {
  assert.deepEqual(await restsOf({ heldMs: 15_000, count: 4 }), [250, 250, 250, 250]);
});

void test('a node that gives no sign of life is dropped, for the link to dial it anew', async (t) => {
  const late = AbortSignal.abort(new Error('late'));
  mock.method(AbortSignal, 'timeout', () => late);
  t.after(() => mock.restoreAll());
  let dropped: Error | undefined;
  const connection = {
    newStream: () => Promise.reject(late.reason as Error),
    abort: (error: Error) => (dropped = error),
  };
  const { peerId } = await person();
  const link = bootstrapLink({
    addresses: [`/ip4/192.0.2.1/tcp/4001/p2p/${peerId}`],
    host: { getConnections: () => [connection] } as unknown as Host,
    privateKey: await generateKeyPair('Ed25519'),
    unlisted: false,
    log: defaultLogger().forComponent('test'),
    nowMs: () => NOON_MS,
    random: () => 0,
    signal: t.signal,
    contactCard: async () => new Uint8Array(0),
    claimName: async () => undefined,
    onBlobs: async () => undefined,
    onConnected: () => undefined,
  });
  await link.verify();
  assert.equal(dropped?.name, 'TimeoutError');
});
