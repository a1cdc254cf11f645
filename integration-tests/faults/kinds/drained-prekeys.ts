import { MailboxError } from '../../../protocols/mailbox/errors.ts';
import { MAX_ONE_TIME_PREKEYS } from '../../../protocols/mailbox/prekey-frames.ts';
import { metric } from '../../harness/metrics.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { addressOf } from '../hostile/attack.ts';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { mailboxOf, prekeyTaker } from '../episodes/prekey-taker.ts';
import { PEOPLE } from '../episodes/schedule.ts';
import { between, oneOf } from '../episodes/victims.ts';

interface DrainedPrekeys {
  victim: Victim;
  mailbox: 'bootstrap';
  /** The first of the addresses that the prekeys are taken from. */
  from: number;
}

/** What one taker is given of one owner at once, and all takers of one address together: bootstrap/prekey-limits.ts. */
const TAKES = 6;
const TAKERS_OF_ADDRESS = 5;

/** Enough for a full stock, and some more who get the last resort. */
const TAKERS = Math.ceil(MAX_ONE_TIME_PREKEYS / TAKES) + TAKERS_OF_ADDRESS;

/** Below this an owner fills its stock up again, once it notices: node/sessions/prekey-stock.ts. */
const STOCK_LOW = 20;

/** Above what a prekey takes on the node's disk. */
const PREKEY_BYTES = 2_000;

/** On a machine that is busy, and with a bootstrap node that may have to be reached anew first. */
const FILLED_MS = 60_000;

/**
 * Many who take prekeys of somebody from many addresses, until only the last resort is left. Who has been drained fills its
 * stock up when it is written to. Plays nothing in a lab, and where a proxy gives all takers one address, they get fewer.
 */
export const kind: FaultKind<DrainedPrekeys> = {
  name: 'drained-prekeys',

  draw: (random) => ({
    victim: oneOf(random, PEOPLE),
    mailbox: 'bootstrap',
    from: between(random, 0, 1_000),
  }),

  async play({ victim, from }, stage) {
    const mailbox = mailboxOf(stage);
    if (mailbox === undefined) return;
    const { signal, bootstrap } = stage;
    const owner = stage.people.get(victim)!.peerId;
    const heldBytes = (): Promise<number> => metric(bootstrap, 'tincan_prekey_bytes');
    let taken = 0;
    try {
      const before = await heldBytes();
      for (let number = 0; number < TAKERS; number++) {
        const address = addressOf(from + Math.floor(number / TAKERS_OF_ADDRESS));
        await using taker = await prekeyTaker({ owner, mailbox, signal, from: address });
        let prekey = await taker.take();
        const isEmpty = prekey.lastResort;
        for (let time = 1; !prekey.lastResort && time < TAKES; time++, taken++) prekey = await taker.take();
        if (!isEmpty) continue;
        await taker.leave(await taker.seal(prekey));
        if (MAX_ONE_TIME_PREKEYS - taken >= STOCK_LOW) return;
        // It may have begun before the last was taken.
        const filled = async (): Promise<boolean> => (await heldBytes()) > before - STOCK_LOW * PREKEY_BYTES;
        await waitFor(`${victim} to publish prekeys again`, filled, { signal, timeoutMs: FILLED_MS });
        return;
      }
    } catch (error) {
      // It has published none yet, or takes no more of strangers' blobs.
      if (!(error instanceof MailboxError)) throw error;
    }
  },
};
