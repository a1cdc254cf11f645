import { stranger } from '../../harness/stranger.ts';
import { chatWith, messageFrame, pour } from '../hostile/attack-chat.ts';
import { addressOf, again } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const MESSAGES = 10_000;

/** One peer, and every message begins a chain of its own: each would be a row, a range, an acknowledgement. */
export const attack: Attack = {
  name: 'thousands of chains',
  against: ['daemon'],
  async run({ multiaddr }, options) {
    await using peer = await stranger({ ...options, from: addressOf(0) });
    await again(options, async () => {
      const stream = await chatWith(peer, multiaddr, options);
      await pour(stream, () => messageFrame(), { ...options, count: MESSAGES });
      stream.abort(new Error('done'));
    });
  },
};
