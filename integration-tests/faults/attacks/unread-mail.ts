import { hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { peerIdFromString } from '@libp2p/peer-id';
import { encodeFrames } from '../../../protocols/framing/frames.ts';
import { encodeDeposit } from '../../../protocols/mailbox/blob-frames.ts';
import { signCapability } from '../../../protocols/mailbox/capability.ts';
import { encodeCollect, MAILBOX_PROTOCOL } from '../../../protocols/mailbox/protocol.ts';
import { reaction, stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 16;
const BLOB_BYTES = 200 * 1024;
const BLOBS = 10;

/** Recipients that ask for their mail and read none of it: the window of each lies in the server's memory. */
export const attack: Attack = {
  name: 'mail asked for and not read',
  against: ['bootstrap'],
  async run({ multiaddr }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(turn % AT_A_TIME), polite: false });
      const self = peerIdFromString(peer.peerId);
      const recipient = self.toMultihash().bytes;
      // Strangers would not have the room to fill a window.
      const issuedMs = Date.now();
      const expiresMs = issuedMs + 3_600_000;
      const capability = await signCapability(peer.privateKey, { depositor: self, issuedMs, expiresMs });
      const depositing = await peer.open(multiaddr, MAILBOX_PROTOCOL);
      const answered = reaction(depositing);
      for (let seq = 0; seq < BLOBS; seq++) {
        const blob = randomBytes(BLOB_BYTES);
        const blobId = hash('sha256', blob, 'buffer');
        const deposit = { seq, recipient, blobId, expiresMs, blob, capability };
        if (!depositing.send(encodeFrames([encodeDeposit(deposit)])))
          await Promise.race([once(depositing, 'drain', options), once(depositing, 'close', options)]);
      }
      await answered;
      for (let time = 0; time < 50 && !options.signal.aborted; time++) {
        const collecting = await peer.open(multiaddr, MAILBOX_PROTOCOL);
        collecting.pause();
        collecting.send(encodeFrames([encodeCollect()]));
        options.count('collections');
        await new Promise((resolve) => setTimeout(resolve, 50));
        if (time % 4 === 3) collecting.abort(new Error('done'));
      }
    });
  },
};
