import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayServer } from '@libp2p/circuit-relay-v2';
import { identify } from '@libp2p/identify';
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { createLibp2p } from 'libp2p';

/*
 * A libp2p node with the services that the daemon or the bootstrap node has, and nothing of ours. Plain JavaScript, so
 * that Node's type stripping is not in its memory: it is not in that of the built programs either.
 */

const kind = process.argv[2];

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // The defaults would refuse the benchmark's peers, which come from one address.
  connectionManager: {
    maxConnections: 5000,
    inboundConnectionThreshold: 5000,
    maxIncomingPendingConnections: 5000,
  },
  services: {
    identify: identify(),
    ping: ping(),
    dht: kadDHT({ protocol: '/bench/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper }),
    ...(kind === 'bootstrap' ? { relay: circuitRelayServer() } : {}),
  },
});

process.on('message', ({ id }) => process.send({ id, value: node.getMultiaddrs()[0].toString() }));
process.on('disconnect', () => process.exit(0));
