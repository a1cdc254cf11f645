import type { Blob } from '../protocols/mailbox/collect.ts';
import type { Delivery } from './delivery/delivery.ts';
import type { Mailboxes } from './mailboxes.ts';

/**
 * Commits what comes out of our mailbox. What one sender left is taken in its order, what several left at the same time,
 * so that it shares a commit. What can't be opened is passed over.
 *
 * @returns a function that rejects when anything could not be stored: the mailbox then keeps all of it
 */
export function mailboxIntake({
  open,
  receiveBundle,
}: Pick<Mailboxes, 'open'> & Pick<Delivery, 'receiveBundle'>): (blobs: readonly Blob[]) => Promise<void> {
  return async (blobs) => {
    const opened = await Promise.all(blobs.map(open));
    const bySender = Map.groupBy(
      opened.filter((each) => each !== undefined),
      ({ sender }) => sender,
    );
    await Promise.all(
      Array.from(bySender, async ([sender, bundles]) => {
        for (const { frames } of bundles) await receiveBundle(sender, frames);
      }),
    );
  };
}
