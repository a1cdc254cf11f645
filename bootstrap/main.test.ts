import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import type { Libp2p } from 'libp2p';
import { signCapability } from '../protocols/mailbox/capability.ts';
import { depositor } from '../protocols/mailbox/client.ts';
import { collect } from '../protocols/mailbox/collect.ts';
import { depositorsClient } from '../protocols/mailbox/depositors-client.ts';
import type { MailboxError } from '../protocols/mailbox/errors.ts';
import {
  MAX_ONE_TIME_PREKEYS,
  MAX_PREKEY_BYTES,
  PREKEY_ID_BYTES,
} from '../protocols/mailbox/prekey-frames.ts';
import { prekeysClient } from '../protocols/mailbox/prekeys-client.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import { phonebookClient } from '../protocols/phonebook/client.ts';
import { PHONEBOOK_PROTOCOL } from '../protocols/phonebook/protocol.ts';
import { rendezvousClient } from '../protocols/rendezvous/client.ts';
import { RENDEZVOUS_PROTOCOL } from '../protocols/rendezvous/protocol.ts';
import type { BootstrapConfig, Ready } from './config.ts';
import { runBootstrap } from './main.ts';

const LOOPBACK = '/ip4/127.0.0.1/tcp/0';

/** What js-libp2p's relay lets through by default, in both directions together. */
const BLOCK = new Uint8Array(128 * 1024);

async function testConfig(
  t: TestContext,
  overrides: Partial<BootstrapConfig> = {},
): Promise<BootstrapConfig> {
  const dataDir = overrides.dataDir ?? (await mkdtemp(join(tmpdir(), 'tincan-bootstrap-')));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  return {
    dataDir,
    listen: [LOOPBACK],
    announce: [],
    http: '127.0.0.1:0',
    maxConnections: 100,
    mailboxBlobs: 1000,
    mailboxBytes: 16 * 1024 * 1024,
    mailboxBlobsPerSender: 128,
    mailboxTotalBytes: 1024 ** 3,
    depositsPerMinute: 600,
    logLevel: 'silent',
    ...overrides,
  };
}

interface Running extends Ready {
  stop: () => Promise<void>;
}

async function start(t: TestContext, config: BootstrapConfig): Promise<Running> {
  const stopping = new AbortController();
  const ready = Promise.withResolvers<Ready>();
  const ended = runBootstrap(config, { signal: stopping.signal, onReady: ready.resolve });
  ended.catch(ready.reject);
  const stop = (): Promise<void> => {
    stopping.abort();
    return ended;
  };
  t.after(() => stop().catch(() => undefined));
  return { ...(await ready.promise), stop };
}

async function startPeer(
  t: TestContext,
  listen = [LOOPBACK],
): Promise<{ node: Libp2p; privateKey: Ed25519PrivateKey }> {
  const privateKey = await generateKeyPair('Ed25519');
  const node = await createLibp2p({
    privateKey,
    addresses: { listen },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  });
  t.after(() => node.stop());
  return { node, privateKey };
}

async function sealRecord({
  node,
  privateKey,
}: {
  node: Libp2p;
  privateKey: Ed25519PrivateKey;
}): Promise<Uint8Array> {
  const record = new PeerRecord({ peerId: node.peerId, multiaddrs: node.getMultiaddrs() });
  return (await RecordEnvelope.seal(record, privateKey)).marshal();
}

/** Opens streams of a protocol to a bootstrap node. */
function streamsTo(bootstrap: Ready, node: Libp2p, protocol: string) {
  const addresses = bootstrap.multiaddrs.map((address) => multiaddr(address));
  return (options: { signal: AbortSignal }) => node.dialProtocol(addresses, protocol, options);
}

function pointClient(node: Libp2p, bootstrap: Ready) {
  return rendezvousClient({ openStream: streamsTo(bootstrap, node, RENDEZVOUS_PROTOCOL) });
}

async function getJson(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

void test('serves rendezvous and HTTP, stops within three seconds, remembers after a restart', async (t) => {
  const { signal } = t;
  const config = await testConfig(t);
  const first = await start(t, config);
  const alice = await startPeer(t);
  const bob = await startPeer(t);

  const record = await sealRecord(alice);
  await pointClient(alice.node, first).register('friends', record, undefined, { signal });
  const page = await pointClient(bob.node, first).discover('friends', { signal });
  assert.deepEqual(
    page.peers.map(({ peerId }) => peerId.toString()),
    [alice.node.peerId.toString()],
  );

  assert.deepEqual(await getJson(`${first.http}/health`), { status: 200, body: { status: 'ok' } });
  assert.deepEqual(await getJson(`${first.http}/ready`), { status: 200, body: { status: 'ready' } });
  assert.equal((await getJson(`${first.http}/nothing`)).status, 404);
  assert.equal((await getJson(`${first.http}/v1/peers?limit=many`)).status, 400);
  const metrics = await (await fetch(`${first.http}/metrics`)).text();
  assert.match(metrics, /^tincan_connected_peers 2$/m);
  assert.match(metrics, /^tincan_registrations 1$/m);
  assert.match(metrics, /^tincan_store_queue \d+$/m);
  assert.match(metrics, /^tincan_store_bytes [1-9]\d+$/m);
  assert.match(metrics, /^libp2p_/m);

  assert.equal((await stat(config.dataDir)).mode & 0o777, 0o700);
  for (const file of await readdir(config.dataDir)) {
    assert.equal((await stat(join(config.dataDir, file))).mode & 0o777, 0o600, file);
  }
  // A client that holds its connection and says nothing does not hold up the stop.
  const idle = connect(Number(new URL(first.http).port), '127.0.0.1');
  idle.on('error', () => undefined);
  await once(idle, 'connect');
  const begun = performance.now();
  await first.stop();
  assert.ok(performance.now() - begun < 3000);
  idle.destroy();

  const second = await start(t, config);
  assert.equal(second.peerId, first.peerId);
  const again = await pointClient(bob.node, second).discover('friends', { cookie: page.cookie, signal });
  assert.deepEqual(again.peers, []);
  assert.equal((await pointClient(bob.node, second).discover(undefined, { signal })).peers.length, 1);
});

void test('keeps names and blobs over a restart, and shows them over HTTP', async (t) => {
  const { signal } = t;
  const config = await testConfig(t);
  const first = await start(t, config);
  const alice = await startPeer(t);
  const bob = await startPeer(t);
  const names = (node: Libp2p, bootstrap: Ready) =>
    phonebookClient({
      openStream: streamsTo(bootstrap, node, PHONEBOOK_PROTOCOL),
      phonebook: bootstrap.peerId,
    });

  const presence = { peerRecord: await sealRecord(bob), contactCard: new Uint8Array(0), listed: true };
  await names(bob.node, first).claim({ name: 'bob', privateKey: bob.privateKey, ...presence }, { signal });
  const listing = await getJson(`${first.http}/v1/peers`);
  assert.deepEqual(
    (listing.body['peers'] as { name: string; online: boolean }[]).map(({ name, online }) => [name, online]),
    [['bob', true]],
  );
  const shown = await getJson(`${first.http}/v1/peers/BOB`);
  assert.equal(shown.body['peerId'], bob.node.peerId.toString());
  assert.ok((shown.body['multiaddrs'] as string[]).length > 0);
  assert.equal((await getJson(`${first.http}/v1/peers/nobody`)).status, 404);
  assert.equal((await getJson(`${first.http}/v1/peers/${encodeURIComponent('b b')}`)).status, 400);

  const depositing = new AbortController();
  const sender = depositor({
    openStream: streamsTo(first, alice.node, MAILBOX_PROTOCOL),
    signal: depositing.signal,
  });
  const blob = new TextEncoder().encode('sealed');
  await sender.deposit({ recipient: bob.node.peerId, blob, expiresMs: Date.now() + 3_600_000 });
  depositing.abort();
  const metrics = await (await fetch(`${first.http}/metrics`)).text();
  assert.match(metrics, /^tincan_names 1$/m);
  assert.match(metrics, /^tincan_mailbox_blobs 1$/m);
  assert.match(metrics, /^tincan_deposits_total\{status="stored"\} 1$/m);
  await first.stop();

  const second = await start(t, config);
  const resolved = await names(alice.node, second).resolve({ name: 'bob' }, { signal });
  assert.equal(resolved.peerId, bob.node.peerId.toString());
  const collected = Promise.withResolvers<string[]>();
  const collecting = collect({
    openStream: streamsTo(second, bob.node, MAILBOX_PROTOCOL),
    onBlobs: async (blobs) => collected.resolve(blobs.map(({ blob }) => new TextDecoder().decode(blob))),
    signal,
  }).catch(collected.reject);
  assert.deepEqual(await collected.promise, ['sealed']);
  // An open collect stream does not hold up the stop.
  const begun = performance.now();
  await second.stop();
  assert.ok(performance.now() - begun < 3000);
  await collecting;
});

void test('keeps prekeys of one peer for others, also over a restart', async (t) => {
  const { signal } = t;
  const config = await testConfig(t);
  const first = await start(t, config);
  const { node: owner } = await startPeer(t);
  const { node: taker } = await startPeer(t);
  const clientOf = (node: Libp2p, bootstrap: Ready) =>
    prekeysClient({ openStream: streamsTo(bootstrap, node, MAILBOX_PROTOCOL) });
  const prekey = (number: number) => ({
    id: new Uint8Array(PREKEY_ID_BYTES).fill(number),
    expiresMs: Date.now() + 3_600_000,
    prekey: new Uint8Array(MAX_PREKEY_BYTES).fill(number),
  });
  const oneTime = Array.from({ length: MAX_ONE_TIME_PREKEYS }, (_, number) => prekey(number));
  const lastResort = prekey(200);
  assert.deepEqual(await clientOf(owner, first).publish({ oneTime, lastResort }, { signal }), { left: 100 });
  assert.deepEqual(await clientOf(taker, first).take(owner.peerId, { signal }), {
    ...oneTime[0],
    lastResort: false,
  });
  const metrics = await (await fetch(`${first.http}/metrics`)).text();
  assert.match(metrics, /^tincan_prekey_bytes [1-9]\d+$/m);
  assert.match(metrics, /^tincan_prekey_requests_total\{outcome="taken"\} 1$/m);
  await first.stop();

  const second = await start(t, config);
  const taken = await clientOf(taker, second).take(owner.peerId, { signal });
  assert.deepEqual(taken.id, oneTime[1]!.id);
  const stock = await clientOf(owner, second).count({ signal });
  assert.deepEqual([stock.oneTimeIds.length, stock.lastResortId], [98, lastResort.id]);
  await assert.rejects(clientOf(owner, second).take(taker.peerId, { signal }), {
    name: 'MailboxError',
    code: 'no-prekey',
  });
});

void test('keeps apart whom a recipient accepted, whom it blocked, and strangers, also over a restart', async (t) => {
  const { signal } = t;
  const config = await testConfig(t);
  const first = await start(t, config);
  const [alice, bob, pest] = await Promise.all([startPeer(t), startPeer(t), startPeer(t)]);
  const issuedMs = Date.now();
  const capability = await signCapability(bob.privateKey, {
    depositor: alice.node.peerId,
    issuedMs,
    expiresMs: issuedMs + 3_600_000,
  });
  const leave = async (from: Libp2p, bootstrap: Ready, count: number, mine?: Uint8Array) => {
    const depositing = new AbortController();
    const openStream = streamsTo(bootstrap, from, MAILBOX_PROTOCOL);
    const outcomes = await depositor({ openStream, signal: depositing.signal }).depositAll(
      Array.from({ length: count }, (_, number) => ({
        recipient: bob.node.peerId,
        blob: new TextEncoder().encode(`${from.peerId.toString()} ${number}`),
        expiresMs: issuedMs + 3_600_000,
        ...(mine !== undefined && { capability: mine }),
      })),
    );
    depositing.abort();
    return outcomes.map((outcome) =>
      outcome instanceof Error ? (outcome as MailboxError).code : outcome.status,
    );
  };
  const blocker = (bootstrap: Ready) =>
    depositorsClient({ openStream: streamsTo(bootstrap, bob.node, MAILBOX_PROTOCOL) });
  const stored = (count: number) => Array.from({ length: count }, () => 'stored');

  assert.deepEqual(await leave(alice.node, first, 20, capability), stored(20));
  assert.deepEqual(await leave(pest.node, first, 5), [...stored(4), 'sender-full']);
  const blocked = await blocker(first).block([pest.node.peerId], { atMs: issuedMs, signal });
  assert.deepEqual(blocked, { blocked: 1 });
  const metrics = await (await fetch(`${first.http}/metrics`)).text();
  assert.match(metrics, /^tincan_mailbox_blobs 20$/m);
  assert.match(metrics, /^tincan_mailbox_blocks 1$/m);
  assert.match(metrics, /^tincan_stranger_deposits_total\{status="sender_full"\} 1$/m);
  assert.match(metrics, /^tincan_capability_checks_total\{outcome="valid"\} 1$/m);
  assert.match(metrics, /^tincan_block_requests_total\{outcome="set"\} 1$/m);
  await first.stop();

  const second = await start(t, config);
  assert.deepEqual(await leave(pest.node, second, 1), ['refused']);
  assert.deepEqual(await blocker(second).unblock([pest.node.peerId], { signal }), { blocked: 0 });
  assert.deepEqual(await leave(pest.node, second, 1), ['stored']);
});

void test('relays a conversation beyond the default limits, and forgets who is gone', async (t) => {
  const bootstrap = await start(t, await testConfig(t));
  const [address] = bootstrap.multiaddrs;
  const { node: behindNat } = await startPeer(t, [`${address}/p2p-circuit`]);
  const { node: caller } = await startPeer(t);
  let received = 0;
  const done = Promise.withResolvers<void>();
  await behindNat.handle(
    '/sink',
    (stream) => {
      stream.addEventListener('message', ({ data }) => {
        received += data.byteLength;
        if (received === 2 * BLOCK.byteLength) done.resolve();
      });
    },
    { runOnLimitedConnection: true },
  );
  const stream = await caller.dialProtocol(
    multiaddr(`${address}/p2p-circuit/p2p/${behindNat.peerId.toString()}`),
    '/sink',
    { runOnLimitedConnection: true, signal: t.signal },
  );
  stream.send(BLOCK);
  stream.send(BLOCK);
  await done.promise;

  const reservations = async (): Promise<string | undefined> =>
    /^tincan_relay_reservations (\d+)$/m.exec(await (await fetch(`${bootstrap.http}/metrics`)).text())?.[1];
  assert.equal(await reservations(), '1');
  await behindNat.stop();
  while ((await reservations()) !== '0') t.signal.throwIfAborted();
});

void test('refuses a data directory that this or another process holds', async (t) => {
  const config = await testConfig(t);
  await start(t, config);
  const held = new RegExp(`another process uses ${config.dataDir}`);
  await assert.rejects(start(t, config), { name: 'StoreError', code: 'held', message: held });

  const child = spawn(
    process.execPath,
    [
      '--eval',
      `import(${JSON.stringify(new URL('./main.ts', import.meta.url).href)}).then(({ runBootstrap }) =>
         runBootstrap(${JSON.stringify(config)}, { signal: AbortSignal.timeout(10_000), onReady() {} }))`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  assert.equal(code, 1);
  assert.match(said, held);
});

void test('says which port is in use, and leaves nothing running', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;

  const config = await testConfig(t);
  const address = `/ip4/127.0.0.1/tcp/${port}`;
  await assert.rejects(start(t, { ...config, listen: [address] }), {
    name: 'ListenError',
    message: `cannot listen on ${address}: another process uses this port; stop it or listen on another port`,
  });
  await assert.rejects(start(t, { ...config, http: `127.0.0.1:${port}` }), {
    message: `cannot serve HTTP on 127.0.0.1:${port}: another process uses this port; stop it or listen on another port`,
  });
  await assert.rejects(start(t, { ...config, http: 'nowhere' }), { message: /http must be HOST:PORT/ });
  await start(t, config);
});

void test('refuses what it can not read in its data directory', async (t) => {
  const config = await testConfig(t);
  await writeFile(
    join(config.dataDir, 'bootstrap.db'),
    'not a database, but long enough to be looked at'.repeat(100),
  );
  await assert.rejects(start(t, config), { name: 'StoreError', code: 'corrupt', message: /bootstrap\.db/ });

  const newer = await testConfig(t);
  const database = new DatabaseSync(join(newer.dataDir, 'bootstrap.db'));
  database.exec('PRAGMA user_version = 99');
  database.close();
  await assert.rejects(start(t, newer), {
    name: 'StoreError',
    code: 'newer-version',
    message: /newer Tincan/,
  });

  const unreadable = await testConfig(t);
  await writeFile(join(unreadable.dataDir, 'identity.key'), 'not a key', { mode: 0o600 });
  await assert.rejects(start(t, unreadable), { name: 'IdentityFileError', message: /not an identity key/ });
});

void test('stops when it is told to before it is ready', async (t) => {
  const config = await testConfig(t);
  const stopping = new AbortController();
  const ended = runBootstrap(config, {
    signal: stopping.signal,
    onReady: () => assert.fail('it is stopping'),
  });
  stopping.abort();
  await ended;

  const stoppingLater = new AbortController();
  await runBootstrap(config, { signal: stoppingLater.signal, onReady: () => stoppingLater.abort() });
});
