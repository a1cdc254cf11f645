import { randomBytes } from 'node:crypto';
import { encodeMessage, messageHash } from '../../../protocols/chat/message.ts';
import { encodeMessageFrame } from '../../../protocols/chat/protocol.ts';
import { stranger } from '../../harness/stranger.ts';
import { chatWith, pour } from '../hostile/attack-chat.ts';
import { addressOf, again } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

/** Well-formed messages of one stranger, one chain, as fast as they are taken: what a disk can be filled with. */
export const attack: Attack = {
  name: 'messages of one stranger without end',
  against: ['daemon'],
  async run({ multiaddr }, options) {
    await using peer = await stranger({ ...options, from: addressOf(0) });
    await again(options, async () => {
      const stream = await chatWith(peer, multiaddr, options);
      const chain = randomBytes(8);
      let counter = 0;
      let previous: Uint8Array = new Uint8Array(0);
      const next = (): Uint8Array => {
        const encoded = encodeMessage({
          id: randomBytes(16),
          chain,
          counter: ++counter,
          previous,
          clockMs: Date.now(),
          clockCount: 0,
          sentAtMs: Date.now(),
          text: 'x'.repeat(1000),
        });
        previous = messageHash(encoded);
        options.count('messages');
        return encodeMessageFrame(encoded);
      };
      await pour(stream, next, { ...options, count: 100_000 });
      stream.abort(new Error('done'));
    });
  },
};
