import { once } from 'node:events';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { encodeRequest, RENDEZVOUS_PROTOCOL } from '../../../protocols/rendezvous/protocol.ts';
import { signedRecordOf, stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 4;
const EACH = 500;

/** Registrations by thousands of identities, each in as many namespaces as it may, for as long as it may. */
export const attack: Attack = {
  name: 'registrations by thousands of identities',
  against: ['bootstrap'],
  async run({ multiaddr }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(turn % 4), polite: false });
      const signedPeerRecord = await signedRecordOf(peer);
      const stream = await peer.open(multiaddr, RENDEZVOUS_PROTOCOL);
      stream.addEventListener('message', () => undefined);
      for (let number = 0; number < EACH && stream.status === 'open'; number++) {
        const request = encodeRequest({
          type: 'register',
          namespace: `squat-${turn}-${number}`,
          signedPeerRecord,
          ttlSeconds: 72 * 3600,
        });
        options.count('registrations');
        if (!stream.send(encodeFrames([request])))
          await Promise.race([once(stream, 'drain', options), once(stream, 'close', options)]);
      }
      await stream.close();
      await once(stream, 'remoteCloseWrite', {
        signal: AbortSignal.any([options.signal, AbortSignal.timeout(2_000)]),
      });
    });
  },
};
