import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { defaultLogger } from '@libp2p/logger';
import { PING_PROTOCOL } from '@libp2p/ping';
import { createHost } from './host.ts';
import type { Host } from './host.ts';
import { NOON_MS, person, resolvedPeer } from './phonebook-fixture.ts';
import { reach } from './reach.ts';
import type { ReachInit } from './reach.ts';

const { signal } = new AbortController();

async function startHost(t: TestContext): Promise<Host> {
  const host = await createHost({
    config: { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], dht: 'server', bootstrap: [] },
    privateKey: await generateKeyPair('Ed25519'),
    logger: defaultLogger(),
    nowMs: () => NOON_MS,
  });
  t.after(() => host.stop());
  return host;
}

function reachFrom(host: Host, askPhonebooks: ReachInit['askPhonebooks'] = async () => undefined) {
  return reach({
    host,
    askPhonebooks,
    decisions: () => assert.fail('no chat in these tests'),
    onSilence: () => assert.fail('nobody is silent in these tests'),
    log: defaultLogger().forComponent('test'),
  });
}

void test('a peer is reached at addresses from an invite, whatever else stands beside them', async (t) => {
  const [here, there] = await Promise.all([startHost(t), startHost(t)]);
  const { connect, addAddresses } = reachFrom(here);
  const [peer, other] = [there.peerId.toString(), (await person()).peerId];
  await addAddresses(peer, [
    'rubbish',
    `/ip4/127.0.0.1/tcp/1/p2p/${other}`,
    String(there.getMultiaddrs()[0]),
  ]);
  await addAddresses(here.peerId.toString(), ['/ip4/192.0.2.1/tcp/1']);
  const connection = await connect(peer, { signal });
  assert.equal(connection.remotePeer.toString(), peer);
  assert.equal(await connect(peer, { signal }), connection);
});

void test('a peer is reached at the address a phonebook has', async (t) => {
  const [here, there] = await Promise.all([startHost(t), startHost(t)]);
  const peer = there.peerId.toString();
  const { connect } = reachFrom(here, async () => ({
    ...(await resolvedPeer(await person())),
    multiaddrs: there.getMultiaddrs().map(String),
  }));
  assert.equal((await connect(peer, { signal })).remotePeer.toString(), peer);
});

void test('with nobody to ask, not in the DHT either, the reason is told soon; a signal ends it', async (t) => {
  const here = await startHost(t);
  const { peerId } = await person();
  const { connect } = reachFrom(here);
  await assert.rejects(connect(peerId, { signal }), /DHT: /);
  await assert.rejects(connect(peerId, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

void test('a peer that is connected and answers stays connected', async (t) => {
  const [here, there] = await Promise.all([startHost(t), startHost(t)]);
  const { addAddresses, connect, verify } = reachFrom(here);
  const peer = there.peerId.toString();
  await addAddresses(peer, there.getMultiaddrs().map(String));
  const connection = await connect(peer, { signal });
  assert.equal(await verify(peer, { signal }), true);
  assert.equal(connection.status, 'open');
  // The question leaves no stream behind.
  while (connection.streams.some(({ protocol }) => protocol === PING_PROTOCOL)) await delay(5);
});
