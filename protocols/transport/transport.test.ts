import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Connection } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import type { Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import type { Libp2p } from 'libp2p';
import { pino } from 'pino';
import { libp2pBase } from './base.ts';
import { loadOrCreateIdentity } from './identity-file.ts';
import { libp2pLogger } from './libp2p-logger.ts';
import { DAEMON_LIMITS, HUB_LIMITS, STREAM_LIMITS } from './limits.ts';
import { fatalListenError, ListenError } from './listen-errors.ts';

/** The part of libp2p's components that dials without the dial queue. */
interface Transports {
  transportManager: { dial(address: Multiaddr, options: { signal: AbortSignal }): Promise<Connection> };
}

const LOOPBACK = '/ip4/127.0.0.1/tcp/0';

async function startNode(
  t: TestContext,
  listen: string[],
  errors: ListenError[] = [],
  limits = DAEMON_LIMITS,
): Promise<Libp2p> {
  const privateKey = await generateKeyPair('Ed25519');
  const node = await createLibp2p(
    libp2pBase({ privateKey, listen, announce: [], limits, onListenError: (error) => errors.push(error) }),
  );
  t.after(() => node.stop());
  return node;
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tincan-transport-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

void test('a dial signal that fires after the dial leaves the connection alone', async (t) => {
  const listener = await startNode(t, [LOOPBACK]);
  const privateKey = await generateKeyPair('Ed25519');
  const dialler = await createLibp2p({
    ...libp2pBase({
      privateKey,
      listen: [],
      announce: [],
      limits: DAEMON_LIMITS,
      onListenError: () => undefined,
    }),
    // The dial queue has signals of its own; the trap is below it, where relays and hole punching dial too.
    services: { transports: (components: Transports) => ({ manager: components.transportManager }) },
  });
  t.after(() => dialler.stop());
  await listener.handle('/echo', (stream) => {
    stream.addEventListener('message', ({ data }) => stream.send(data));
  });
  const dialling = new AbortController();
  const { manager } = dialler.services.transports;
  const connection = await manager.dial(listener.getMultiaddrs()[0]!, { signal: dialling.signal });
  dialling.abort();
  const stream = await connection.newStream('/echo');
  const answered = new Promise((resolve) => {
    stream.addEventListener('message', ({ data }) => resolve(Buffer.from(data.subarray()).toString()));
  });
  stream.send(Buffer.from('still here'));
  assert.equal(await answered, 'still here');
  assert.equal(connection.status, 'open');
});

void test('a dial ends with its signal', async (t) => {
  const dialler = await startNode(t, []);
  // Accepts and says nothing, so the handshake hangs.
  const silent = createServer().listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const accepted = once(silent, 'connection');
  const dialling = new AbortController();
  const dial = dialler.dial(multiaddr(`/ip4/127.0.0.1/tcp/${(silent.address() as AddressInfo).port}`), {
    signal: dialling.signal,
  });
  const [socket] = (await accepted) as [Socket];
  socket.on('error', () => undefined);
  dialling.abort();
  await assert.rejects(dial, { name: 'AbortError' });
  socket.destroy();
});

void test('a port in use is told, and is fatal', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const address = `/ip4/127.0.0.1/tcp/${(taken.address() as AddressInfo).port}`;
  const errors: ListenError[] = [];
  const node = await startNode(t, [LOOPBACK, address], errors);
  assert.equal(node.getMultiaddrs().length, 1);
  const fatal = fatalListenError(errors, 2);
  assert.equal(fatal?.code, 'EADDRINUSE');
  assert.match(fatal.message, new RegExp(`cannot listen on ${address}: another process uses this port`));
});

void test('a missing address is fatal only when none is left', () => {
  const missing = new ListenError(multiaddr('/ip6/::/tcp/0'), { code: 'EAFNOSUPPORT' });
  assert.equal(fatalListenError([missing], 2), undefined);
  assert.equal(fatalListenError([missing], 1), missing);
  assert.equal(fatalListenError([], 0), undefined);
});

void test('says which address is none', async (t) => {
  const wrong = (message: RegExp) => ({ name: 'InvalidParametersError', message });
  await assert.rejects(
    startNode(t, ['localhost:4001']),
    wrong(/^listen: "localhost:4001" is not a multiaddr/),
  );
  await assert.rejects(
    startNode(t, ['/ip4/0.0.0.0/udp/4001/quic-v1']),
    wrong(/^listen: .* is not an address to listen/),
  );
  await assert.rejects(startNode(t, ['/dns4/example.org/tcp/4001']), wrong(/^listen: /));
  const privateKey = await generateKeyPair('Ed25519');
  const base = { privateKey, listen: [], limits: DAEMON_LIMITS, onListenError: () => undefined };
  assert.throws(() => libp2pBase({ ...base, announce: ['example.org'] }), wrong(/^announce: /));
  assert.doesNotThrow(() =>
    libp2pBase({ ...base, listen: ['/ip6/::/tcp/0'], announce: ['/dns4/a.example/tcp/1'] }),
  );
});

void test('hub limits start a node too, and a paused stream can never outgrow its buffer', async (t) => {
  await startNode(t, [LOOPBACK], [], HUB_LIMITS);
  assert.ok(STREAM_LIMITS.maxReadBufferBytes >= STREAM_LIMITS.maxWindowBytes);
});

void test("libp2p's errors are in the log at level debug, and nothing of it below", () => {
  const lines: string[] = [];
  const logger = (level: string) => libp2pLogger(pino({ level }, { write: (line) => void lines.push(line) }));
  const quiet = logger('info').forComponent('libp2p:tcp');
  quiet.error('unseen %e', new Error('x'));
  assert.equal(quiet.newScope('listener'), quiet);

  const log = logger('debug').forComponent('libp2p').newScope('tcp');
  log('unseen');
  log.trace('unseen');
  log.error('%d%% of %a failed - %e', 5, multiaddr(LOOPBACK), new Error('no route'), 'more');
  log.error('%s by %p, %b', 'refused', 'Qm', Uint8Array.of(10));
  log.error(new Error('alone'));
  const [first, second, third] = lines.map((line) => JSON.parse(line) as { component: string; msg: string });
  assert.equal(first?.component, 'libp2p:tcp');
  assert.equal(first.msg, `5% of ${LOOPBACK} failed - no route more`);
  assert.equal(second?.msg, 'refused by Qm, 0a');
  assert.match(third?.msg ?? '', /alone/);
  assert.equal(lines.length, 3);
});

void test('an identity is made once, readable by its owner only', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'identity.key');
  const made = await loadOrCreateIdentity(file);
  const loaded = await loadOrCreateIdentity(file);
  assert.ok(made.equals(loaded));
  assert.deepEqual(await readdir(folder), ['identity.key']);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

void test('an identity file that can not be used is refused and left as it is', async (t) => {
  const file = join(await temporaryFolder(t), 'identity.key');
  await loadOrCreateIdentity(file);
  await chmod(file, 0o644);
  await assert.rejects(loadOrCreateIdentity(file), { name: 'IdentityFileError', message: /chmod 600/ });
  await chmod(file, 0o600);
  await writeFile(file, 'not a key');
  await assert.rejects(loadOrCreateIdentity(file), {
    name: 'IdentityFileError',
    message: /not an identity key/,
  });
  assert.equal(await readFile(file, 'utf8'), 'not a key');
  // A bit that has tipped over, in either half of the key.
  for (const at of [10, 50]) {
    const damaged = privateKeyToProtobuf(await generateKeyPair('Ed25519'));
    damaged[at]! ^= 1;
    await writeFile(file, damaged);
    await assert.rejects(loadOrCreateIdentity(file), { name: 'IdentityFileError', message: /damaged/ });
  }
  await writeFile(file, privateKeyToProtobuf(await generateKeyPair('secp256k1')));
  await assert.rejects(loadOrCreateIdentity(file), { name: 'IdentityFileError', message: /Ed25519/ });
});
