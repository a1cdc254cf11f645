import { multiaddr } from '@multiformats/multiaddr';
import { addressesOfPeer, byReach } from '../../../node/peer-addresses.ts';
import { checkListenAddress, parseMultiaddr } from '../../../protocols/transport/addresses.ts';
import { ada, ADDRESSES } from '../fuzz/fuzz-papers.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import type { Subject } from '../subject.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

const PEER = ada.publicKey.toString();

const samples = (): Uint8Array[] => [
  ...ADDRESSES.map(bytes),
  ...['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/4001', `/ip4/127.0.0.1/tcp/1/p2p/${PEER}`].map(bytes),
];

export const subject: Subject = {
  name: 'multiaddr',
  decoders: [
    {
      name: 'address of a peer',
      decode(input) {
        const found = byReach(addressesOfPeer([textFrom(input)], PEER)).map(String);
        // What is remembered as text has to lead to the same place when it is read again.
        for (const address of found) multiaddr(address);
        return found;
      },
      encode: (found: string[]) => bytes(found.join('')),
      refusals: [],
      samples,
    },
    {
      name: 'configured address',
      decode: (input) => parseMultiaddr('bootstrap', textFrom(input)).toString(),
      refusals: ['InvalidParametersError'],
      samples,
    },
    {
      name: 'address to listen on',
      decode: (input) => checkListenAddress(textFrom(input)),
      refusals: ['InvalidParametersError'],
      samples: () => samples().slice(-3, -1),
    },
  ],
};
