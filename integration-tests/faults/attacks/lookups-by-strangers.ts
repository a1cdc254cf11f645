import { PHONEBOOK_PROTOCOL } from '../../../protocols/phonebook/protocol.ts';
import { phonebookClient } from '../../../protocols/phonebook/client.ts';
import { stranger } from '../../harness/stranger.ts';
import { addressOf, crowd } from '../hostile/attack.ts';
import type { Attack } from '../hostile/attack.ts';

const AT_A_TIME = 6;

/** Lookups by each identity: fewer than one may make, so that a limit for each is never met. */
const EACH = 100;

/** Lookups and listings by thousands of identities from a few addresses. */
export const attack: Attack = {
  name: 'lookups by thousands of identities',
  against: ['bootstrap'],
  async run({ multiaddr, peerId: phonebook }, options) {
    await crowd(AT_A_TIME, options, async (turn) => {
      await using peer = await stranger({ ...options, from: addressOf(turn % 4), polite: false });
      const client = phonebookClient({
        openStream: () => peer.open(multiaddr, PHONEBOOK_PROTOCOL),
        phonebook,
      });
      for (let time = 0; time < EACH && !options.signal.aborted; time++) {
        options.count('lookups');
        const asked = time % 2 === 0 ? client.resolve({ name: 'ben' }, options) : client.list({}, options);
        await asked.catch((error: Error) => options.count(error.message));
      }
    });
  },
};
