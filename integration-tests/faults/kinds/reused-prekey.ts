import { MailboxError } from '../../../protocols/mailbox/errors.ts';
import type { FaultKind, Victim } from '../episodes/kind.ts';
import { mailboxOf, prekeyTaker } from '../episodes/prekey-taker.ts';
import { PEOPLE } from '../episodes/schedule.ts';
import { between, oneOf } from '../episodes/victims.ts';

interface ReusedPrekey {
  victim: Victim;
  mailbox: 'bootstrap';
  /** Sessions opened to one prekey. */
  sessions: number;
  /** How often the blobs that open them are left again. */
  replays: number;
}

/**
 * A prekey is used more than once, as a mailbox can bring it about that hands one out twice, and the blobs that open the
 * sessions are left again and again. Plays nothing in a lab.
 */
export const kind: FaultKind<ReusedPrekey> = {
  name: 'reused-prekey',

  draw: (random) => ({
    victim: oneOf(random, PEOPLE),
    mailbox: 'bootstrap',
    sessions: between(random, 2, 4),
    replays: between(random, 1, 4),
  }),

  async play({ victim, sessions, replays }, stage) {
    const mailbox = mailboxOf(stage);
    if (mailbox === undefined) return;
    const owner = stage.people.get(victim)!.peerId;
    await using taker = await prekeyTaker({ owner, mailbox, signal: stage.signal });
    try {
      const prekey = await taker.take();
      const blobs: Uint8Array[] = [];
      while (blobs.length < sessions) blobs.push(await taker.seal(prekey));
      for (let time = 0; time <= replays; time++) for (const blob of blobs) await taker.leave(blob);
    } catch (error) {
      // It has published none yet, or does not take so many of a stranger's blobs.
      if (!(error instanceof MailboxError)) throw error;
    }
  },
};
