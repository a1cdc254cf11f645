import { hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { encodeDeposit } from '../../../protocols/mailbox/blob-frames.ts';
import { MAILBOX_PROTOCOL } from '../../../protocols/mailbox/protocol.ts';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const BLOB_BYTES = 64 * 1024;
const AT_A_TIME = 4;
const EACH = 64;

/** The bytes of a peer id whose key nobody has: a multihash of an Ed25519 public key. */
function nobody(): Uint8Array {
  return Buffer.concat([Buffer.from('002408011220', 'hex'), randomBytes(32)]);
}

/** Large blobs for recipients that do not exist, by many identities: they wait for weeks, and nobody comes. */
export const attack: Attack = {
  name: 'deposits for nobody',
  against: ['bootstrap'],
  async run({ multiaddr }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(turn % 8), polite: false });
      const stream = await peer.open(multiaddr, MAILBOX_PROTOCOL);
      stream.addEventListener('message', () => options.count('answers'));
      for (let seq = 0; seq < EACH && stream.status === 'open'; seq++) {
        const blob = randomBytes(BLOB_BYTES);
        const deposit = {
          seq,
          recipient: nobody(),
          blobId: hash('sha256', blob, 'buffer'),
          expiresMs: Date.now() + 21 * 86_400_000,
          blob,
        };
        options.count('deposits');
        if (!stream.send(encodeFrames([encodeDeposit(deposit)])))
          await Promise.race([once(stream, 'drain', options), once(stream, 'close', options)]);
      }
      await stream.close();
      await once(stream, 'remoteCloseWrite', {
        signal: AbortSignal.any([options.signal, AbortSignal.timeout(2_000)]),
      });
    });
  },
};
