import { stranger } from '../../harness/stranger.ts';
import { chatWith, messageFrame, pour } from '../hostile/attack-chat.ts';
import { addressOf, again } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

/** How often the same are sent on one stream. */
const TIMES = 20_000;

/** The same few messages again and again, and others under the same ids. */
export const attack: Attack = {
  name: 'replays',
  against: ['daemon'],
  async run({ multiaddr }, options) {
    await using peer = await stranger({ ...options, from: addressOf(0) });
    const id = Buffer.alloc(16, 7);
    const chain = Buffer.alloc(8, 9);
    const frames = [
      messageFrame({ id, chain }),
      messageFrame({ id, chain, text: 'something else' }),
      messageFrame({ id, chain: Buffer.alloc(8, 1) }),
      messageFrame({ id, chain: Buffer.alloc(8, 1), text: 'something else' }),
    ];
    await again(options, async () => {
      const stream = await chatWith(peer, multiaddr, options);
      let turn = 0;
      await pour(stream, () => frames[turn++ % frames.length]!, { ...options, count: TIMES });
      stream.abort(new Error('done'));
    });
  },
};
