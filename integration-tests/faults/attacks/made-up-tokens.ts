import { randomBytes } from 'node:crypto';
import {
  encodeDepositCapability,
  encodeInviteToken,
  encodePending,
} from '../../../protocols/chat/protocol.ts';
import { CAPABILITY_BYTES } from '../../../protocols/mailbox/capability.ts';
import { stranger } from '../../harness/stranger.ts';
import { chatWith, pour } from '../hostile/attack-chat.ts';
import { addressOf, again } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const FRAMES: readonly (() => Uint8Array)[] = [
  () => encodeInviteToken(randomBytes(16)),
  () => encodeDepositCapability(randomBytes(CAPABILITY_BYTES)),
  encodePending,
];

/** One stranger who tries tokens, hands over rights that are none, and says that others wait, as fast as it goes. */
export const attack: Attack = {
  name: 'made-up tokens, rights and waits without end',
  against: ['daemon'],
  async run({ multiaddr }, options) {
    await using peer = await stranger({ ...options, from: addressOf(0) });
    await again(options, async () => {
      const stream = await chatWith(peer, multiaddr, options);
      let sent = 0;
      const next = (): Uint8Array => {
        options.count('frames');
        return FRAMES[sent++ % FRAMES.length]!();
      };
      await pour(stream, next, { ...options, count: 100_000 });
      stream.abort(new Error('done'));
    });
  },
};
