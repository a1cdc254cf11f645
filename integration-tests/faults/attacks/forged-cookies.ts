import { randomBytes } from 'node:crypto';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { encodeRequest, RENDEZVOUS_PROTOCOL } from '../../../protocols/rendezvous/protocol.ts';
import { reaction, stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 4;

/** Cookies that no rendezvous point has given: of every length, with positions at every edge. */
export const attack: Attack = {
  name: 'forged rendezvous cookies',
  against: ['bootstrap'],
  async run({ multiaddr }, options) {
    const lengths = [1, 15, 16, 17, 24, 300, 4_096];
    await using peer = await stranger({ ...options, from: addressOf(0), polite: false });
    await crowd(AT_A_TIME, options, async (turn) => {
      const cookie = randomBytes(lengths[turn % lengths.length]!);
      if (turn % 2 === 0 && cookie.length >= 16) cookie.fill(0xff, 8, 16);
      const stream = await peer.open(multiaddr, RENDEZVOUS_PROTOCOL);
      stream.send(encodeFrames([encodeRequest({ type: 'discover', cookie, limit: 2 ** 53 - 1 })]));
      await reaction(stream);
      stream.abort(new Error('done'));
    });
  },
};
