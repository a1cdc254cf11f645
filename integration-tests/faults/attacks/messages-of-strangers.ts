import { stranger } from '../../harness/stranger.ts';
import { chatWith, messageFrame } from '../hostile/attack-chat.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 4;

/** Peers that nobody has seen before, each leaving one message and going. */
export const attack: Attack = {
  name: 'a message each of thousands of strangers',
  against: ['daemon'],
  async run({ multiaddr }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(turn) });
      const stream = await chatWith(peer, multiaddr, options);
      const answered = new Promise((resolve) => {
        stream.addEventListener('message', resolve, { once: true });
        stream.addEventListener('close', resolve, { once: true });
      });
      stream.send(encodeFrames([messageFrame()]));
      await answered;
    });
  },
};
