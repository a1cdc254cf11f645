import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { identify } from '@libp2p/identify';
import type { Connection, PeerId } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import type { Libp2p } from 'libp2p';
import { scenario } from '../harness/scenario.ts';
import { wiretap } from '../harness/wiretap.ts';

const TEXT = 'the swan flies at midnight';

scenario('who records every connection reads no message, no name and no peer id', async (town) => {
  const { signal } = town;
  await using atNode = await wiretap();
  await using atAda = await wiretap();
  await using atBen = await wiretap();
  const node = await town.bootstrap({ place: atNode.place });
  const [ada, ben] = await Promise.all([
    town.daemon('one', { name: 'wilhelmina', bootstrap: [node], place: atAda.place }),
    town.daemon('two', { name: 'bartholomew', bootstrap: [node], place: atBen.place }),
  ]);
  await Promise.all([ada.knows('bartholomew'), ben.knows('wilhelmina')]);
  await ada.client.call('addContact', { who: 'bartholomew', petname: 'old friend' }, { signal });
  await ada.send('old friend', `${TEXT}, live`, 'delivered');
  await ben.send('wilhelmina', `${TEXT}, and back`, 'delivered');
  await ben.program.stop();
  await ada.send('old friend', `${TEXT}, later`, 'stored');
  await ben.program.start();
  assert.equal((await ben.texts(2)).length, 2);

  const people = [node.program.ready.peerId, ada.peerId, ben.peerId];
  const secrets = ['swan', 'wilhelmina', 'bartholomew', 'old friend', '/tincan/', '/chat/', ...people];
  for (const tapped of [atNode, atAda, atBen].map((tap) => tap.heard()).filter(({ length }) => length > 0)) {
    assert.ok(tapped.includes('/multistream/1.0.0'), 'how the encryption is agreed on is open');
    assert.deepEqual(
      secrets.filter((secret) => tapped.includes(secret)),
      [],
    );
    for (const peerId of people) assert.ok(!tapped.includes(peerIdFromString(peerId).publicKey!.raw));
  }
  assert.ok(atNode.heard().length > 10_000);
  assert.ok(atAda.heard().length + atBen.heard().length > 1_000, 'the two have met directly');
});

type RelayComponents = Parameters<ReturnType<typeof circuitRelayServer>>[0];

/** What a relay does beside relaying. */
interface Relay {
  /** Is given what comes out of the encryption of the relay's own connections. */
  read: (bytes: Uint8Array) => void;
  /** To whom it connects those who ask for somebody. */
  instead: (asked: PeerId) => PeerId;
}

/** A peer that is built of what our programs are built of. */
async function relayedPeer(t: TestContext, listen: string[], relay?: Relay): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      () => {
        const factory = yamux()();
        const { createStreamMuxer } = factory;
        factory.createStreamMuxer = (connection) => {
          connection.addEventListener('message', ({ data }) => relay?.read(data.slice() as Uint8Array));
          return createStreamMuxer.call(factory, connection);
        };
        return factory;
      },
    ],
    services: {
      identify: identify(),
      ...(relay !== undefined && {
        relay: (components: RelayComponents) => {
          const { connectionManager } = components;
          const getConnections = (peer?: PeerId): Connection[] =>
            connectionManager.getConnections(peer && relay.instead(peer));
          const lying = new Proxy(connectionManager, {
            get: (target, key) => (key === 'getConnections' ? getConnections : Reflect.get(target, key)),
          });
          return circuitRelayServer()(
            new Proxy(components, {
              get: (target, key) => (key === 'connectionManager' ? lying : Reflect.get(target, key)),
            }),
          );
        },
      }),
    },
  });
  t.after(() => node.stop());
  return node;
}

const RELAYED = { runOnLimitedConnection: true };

void test('a relay knows between whom it carries, and reads nothing of it', async (t) => {
  const { signal } = t;
  const seen: Uint8Array[] = [];
  const relay = await relayedPeer(t, ['/ip4/127.0.0.1/tcp/0'], {
    read: (bytes) => seen.push(bytes),
    instead: (asked) => asked,
  });
  const circuit = `${relay.getMultiaddrs()[0]!.toString()}/p2p-circuit`;
  const ben = await relayedPeer(t, [circuit]);
  const ada = await relayedPeer(t, []);
  const said = Promise.withResolvers<string>();
  await ben.handle(
    '/said',
    (stream, { remotePeer }) => {
      assert.equal(remotePeer.toString(), ada.peerId.toString());
      stream.addEventListener('message', ({ data }) =>
        said.resolve(Buffer.from(data.subarray()).toString('utf8')),
      );
    },
    RELAYED,
  );
  const way = multiaddr(`${circuit}/p2p/${ben.peerId.toString()}`);
  const stream = await ada.dialProtocol(way, '/said', { ...RELAYED, signal });
  stream.send(Buffer.from(TEXT));
  assert.equal(await said.promise, TEXT);

  const isSeen = (what: string | Uint8Array): boolean => Buffer.concat(seen).includes(what);
  assert.ok(isSeen('/libp2p/circuit/relay/0.2.0/hop'), 'this is what it reads');
  for (const { peerId } of [ada, ben]) assert.ok(isSeen(peerId.publicKey!.raw));
  for (const secret of [TEXT, '/said']) assert.ok(!isSeen(secret), secret);
});

void test('a relay that connects to somebody else is found out', async (t) => {
  const { signal } = t;
  let liar: PeerId | undefined;
  const relay = await relayedPeer(t, ['/ip4/127.0.0.1/tcp/0'], {
    read: () => undefined,
    instead: (asked) => liar ?? asked,
  });
  const circuit = `${relay.getMultiaddrs()[0]!.toString()}/p2p-circuit`;
  const [ada, ben, eve] = await Promise.all([
    relayedPeer(t, []),
    relayedPeer(t, [circuit]),
    relayedPeer(t, [circuit]),
  ]);
  let isReached = false;
  for (const node of [ben, eve]) await node.handle('/said', () => void (isReached = true), RELAYED);
  liar = eve.peerId;
  const way = multiaddr(`${circuit}/p2p/${ben.peerId.toString()}`);
  await assert.rejects(ada.dialProtocol(way, '/said', { ...RELAYED, signal }), {
    message: /does not match expected remote identity key/,
  });
  assert.equal(isReached, false);
  assert.deepEqual(ada.getConnections(ben.peerId), []);
});
