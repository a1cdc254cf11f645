import { benchProcess } from './bench-process.ts';
import type { Figure, Floor } from './figure.ts';
import { addressOf, openPrograms } from './programs.ts';

/** A short message, sealed: the smallest class that blobs are padded to. */
const BLOB_BYTES = 1024;

/** Six turns of both figures are less than the half gigabyte that one address may leave at once. */
const BLOBS = 40_000;

/** Mailboxes that deposits are spread over. */
const RECIPIENTS = 200;

/** Rows a commit of the floor: the deposits that one stream has on its way. */
const GROUP = 256;

/** More than a user's mailbox would take, so that the figure is about speed, not about quotas. */
export const OPEN_LIMITS = [
  '--mailbox-blobs=100000000',
  '--mailbox-bytes=100000000000',
  '--mailbox-blobs-per-sender=100000000',
  '--deposits-per-minute=100000000',
];

/** Deposits and drains at the mailbox of a bootstrap node, against a process that only writes the rows. */
export async function mailboxFigures(stack: AsyncDisposableStack): Promise<Figure[]> {
  const programs = stack.use(await openPrograms());
  const rows = stack.use(benchProcess('floor-rows.ts'));
  const figures: Figure[] = [];
  for (const count of [1, 50]) {
    const to = addressOf(await programs.bootstrap(OPEN_LIMITS));
    const peers = stack.use(benchProcess('light-peers.ts'));
    const recipients = stack.use(benchProcess('light-peers.ts'));
    const depositors = await peers.call<string[]>('connect', { to, count });
    const drained = await recipients.call<string[]>('connect', { to, count });
    const accepted = await recipients.call<Uint8Array[][]>('capabilities', { depositors, of: 'peers' });
    const each = BLOBS / count;
    const work = { rows: BLOBS, group: GROUP, blobBytes: BLOB_BYTES };
    const written: Floor = {
      name: 'the same rows written by one group-committing SQLite process',
      run: () => rows.call<number>('deposit', { ...work, recipients: RECIPIENTS }),
      reach: 1 / 3,
    };
    figures.push(
      {
        name: `mailbox deposits acked (fsynced)/s, ${BLOB_BYTES} B, ${count} depositor${count === 1 ? '' : 's'}`,
        unit: '/s',
        higherIsBetter: true,
        async ours() {
          // New ones each time: mailboxes far over any user's limit would be read again and again.
          const strangers = await peers.call<string[]>('strangers', { count: RECIPIENTS });
          const capabilities = await peers.call('capabilities', { depositors, of: 'strangers' });
          const work = { recipients: strangers, capabilities, each, blobBytes: BLOB_BYTES };
          return peers.call<number>('deposit', work);
        },
        floors: [written],
      },
      {
        name: `mailbox drain/s, ${BLOB_BYTES} B, ${count} recipient${count === 1 ? '' : 's'}`,
        unit: '/s',
        higherIsBetter: true,
        async ours() {
          await peers.call('deposit', {
            recipients: drained,
            capabilities: accepted,
            each,
            blobBytes: BLOB_BYTES,
          });
          return BLOBS / (await recipients.call<number>('drain', { each }));
        },
        floors: [
          written,
          {
            name: 'the same rows read and deleted by one group-committing SQLite process',
            run: () => rows.call<number>('drain', { ...work, recipients: count }),
            reach: null,
          },
        ],
      },
    );
  }
  return figures;
}
