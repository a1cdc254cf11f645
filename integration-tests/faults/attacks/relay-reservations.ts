import { RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2';
import { reaction, stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 6;
const KEPT = 300;

/** HopMessage {type: RESERVE}, with its length. */
const RESERVE = Uint8Array.of(2, 8, 0);

/** Places at the relay taken by identities that nobody wants to reach. */
export const attack: Attack = {
  name: 'relay reservations',
  against: ['bootstrap'],
  async run({ multiaddr }, options) {
    const kept: AsyncDisposable[] = [];
    await crowd(AT_A_TIME, options, async (turn) => {
      const peer = await stranger({ ...options, from: addressOf(turn % 4) });
      kept.push(peer);
      const stream = await peer.open(multiaddr, RELAY_V2_HOP_CODEC);
      stream.send(RESERVE);
      options.count(await reaction(stream));
      stream.abort(new Error('done'));
      if (kept.length > KEPT) await kept.shift()![Symbol.asyncDispose]();
    });
    await Promise.all(kept.map((peer) => peer[Symbol.asyncDispose]()));
  },
};
