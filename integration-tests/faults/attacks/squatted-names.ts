import { randomBytes } from 'node:crypto';
import { PHONEBOOK_PROTOCOL } from '../../../protocols/phonebook/protocol.ts';
import { phonebookClient } from '../../../protocols/phonebook/client.ts';
import { signedRecordOf, stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 6;

/** Names taken by thousands of identities, one each. */
export const attack: Attack = {
  name: 'names squatted',
  against: ['bootstrap'],
  async run({ multiaddr, peerId: phonebook }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(turn % 4), polite: false });
      const client = phonebookClient({
        openStream: () => peer.open(multiaddr, PHONEBOOK_PROTOCOL),
        phonebook,
      });
      await client.claim(
        {
          name: `n${randomBytes(8).toString('hex')}`,
          privateKey: peer.privateKey,
          peerRecord: await signedRecordOf(peer),
          contactCard: new Uint8Array(0),
          listed: true,
        },
        options,
      );
    });
  },
};
