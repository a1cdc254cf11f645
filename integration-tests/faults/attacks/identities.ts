import { stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 8;

/** As many as are kept open: then they go, and new ones come. */
const KEPT = 400;

/** Whole handshakes by peers that nobody has seen before, who then stay and do nothing. */
export const attack: Attack = {
  name: 'new identities without end',
  against: ['daemon', 'bootstrap'],
  async run({ multiaddr }, options) {
    const kept: AsyncDisposable[] = [];
    await crowd(AT_A_TIME, options, async (turn) => {
      const somebody = await stranger({ ...options, from: addressOf(turn), polite: false });
      kept.push(somebody);
      await somebody.dial(multiaddr);
      if (kept.length > KEPT) await kept.shift()![Symbol.asyncDispose]();
    });
    await Promise.all(kept.map((somebody) => somebody[Symbol.asyncDispose]()));
  },
};
