import { stranger } from '../../harness/stranger.ts';
import type { Stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 8;

/** One peer, so many connections, from so many addresses. */
const ADDRESSES = 4;

/** Connections that are made and kept, as many as there can be, by few peers from few addresses. */
export const attack: Attack = {
  name: 'connections kept open',
  against: ['daemon', 'bootstrap'],
  async run({ multiaddr }, options) {
    await using stack = new AsyncDisposableStack();
    const peers: Stranger[] = [];
    for (let number = 0; number < ADDRESSES; number++)
      peers.push(stack.use(await stranger({ ...options, from: addressOf(number), polite: false })));
    await crowd(AT_A_TIME, options, async (turn) => {
      await peers[turn % ADDRESSES]!.dial(multiaddr);
    });
  },
};
