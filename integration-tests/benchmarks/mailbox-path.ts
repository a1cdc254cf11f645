import { setTimeout as delay } from 'node:timers/promises';
import { benchProcess } from './bench-process.ts';
import type { Figure, Floor } from './figure.ts';
import { OPEN_LIMITS } from './mailbox.ts';
import { openPrograms } from './programs.ts';
import type { RunningDaemon } from './programs.ts';

const TEXT = 'x'.repeat(140);

/** A message of that text as its frame is in a blob. */
const FRAME_BYTES = 231;

/** What somebody finds who was away for long: half a second's work or more, so that the first connection hardly counts. */
const MESSAGES = 20_000;

/** Rows of the floor. */
const ROWS = 60_000;
const GROUP = 256;

/** Between two looks at whether everything is there. */
const LOOK_MS = 5;

/** Nothing that is measured here takes as long. */
const GIVE_UP_MS = 60_000;

/** Milliseconds of one absence. */
interface Absence {
  /** From the first message written until the last one is committed at the mailbox. */
  leavingMs: number;
  /** From the recipient's daemon being ready until the last message is in the history there. */
  fetchingMs: number;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + GIVE_UP_MS;
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) throw new Error('not all messages have arrived');
    await delay(LOOK_MS);
  }
}

async function stop({ program, client }: RunningDaemon): Promise<void> {
  client.close();
  await program.stop();
}

/** Writes as many messages as the daemon takes, until all are stored. Resolves to the id of the last. */
async function leaveAll({ client }: RunningDaemon, to: string): Promise<string> {
  const stopping = new AbortController();
  const stream = client.sendStream({ until: 'stored', signal: stopping.signal });
  const write = async (): Promise<void> => {
    for (let ref = 0; ref < MESSAGES; ref++) {
      if (!stream.send({ to, text: TEXT, ref })) await stream.drain();
    }
  };
  let last = '';
  const read = async (): Promise<void> => {
    let stored = 0;
    for await (const answers of stream.batches) {
      for (const answer of answers) {
        if ('error' in answer) throw new Error(answer.error.message);
        if (answer.state !== 'stored') continue;
        stored++;
        if (answer.ref === MESSAGES - 1) last = answer.id;
      }
      if (stored === MESSAGES) return;
    }
  };
  await Promise.all([write(), read()]);
  stopping.abort();
  return last;
}

/** Messages by way of a mailbox: one daemon is away while they are written, the other while they are fetched. */
export async function mailboxPathFigures(stack: AsyncDisposableStack): Promise<Figure[]> {
  const programs = stack.use(await openPrograms());
  const rows = stack.use(benchProcess('floor-rows.ts'));
  const bootstrap = await programs.bootstrap(OPEN_LIMITS);

  /** Two who have met: new ones each time, as a history that grows takes ever longer to index at a start. */
  const absence = async (): Promise<Absence> => {
    const ada = await programs.daemon('ada', bootstrap);
    const ben = await programs.daemon('ben', bootstrap);
    const [adaId, benId] = [ada.program.ready.peerId, ben.program.ready.peerId];
    await ada.client.call('addContact', { who: benId });
    await ben.client.call('addContact', { who: adaId });
    const hello = { text: 'hello', wait: 'delivered', timeoutMs: GIVE_UP_MS } as const;
    await ada.client.call('send', { to: benId, ...hello });
    await ben.client.call('send', { to: adaId, ...hello });

    await stop(ben);
    // Until this one is stored, the sender finds out that nobody answers.
    await ada.client.call('send', { to: benId, text: 'away?', wait: 'stored', timeoutMs: GIVE_UP_MS });
    let start = performance.now();
    const last = await leaveAll(ada, benId);
    const leavingMs = performance.now() - start;
    await stop(ada);

    await ben.program.start();
    start = performance.now();
    await until(async () => {
      const { messages } = await ben.client.call('history', { who: adaId, limit: 1 });
      return messages[0]?.id === last;
    });
    const fetchingMs = performance.now() - start;

    // Nothing counts that is not acknowledged from end to end.
    await ada.program.start();
    await until(async () => (await ada.client.call('message', { id: last })).state === 'delivered');
    await Promise.all([stop(ada), stop(ben)]);
    return { leavingMs, fetchingMs };
  };

  const written: Floor = {
    name: 'as many messages, a row each, written by one group-committing SQLite process',
    run: () =>
      rows.call<number>('deposit', { rows: ROWS, group: GROUP, recipients: 1, blobBytes: FRAME_BYTES }),
    reach: null,
  };
  const count = MESSAGES.toLocaleString('en');
  return [
    {
      name: `messages/s left in the mailbox of somebody who is away, 140 B, ${count} of them`,
      unit: '/s',
      higherIsBetter: true,
      ours: async () => (1000 * MESSAGES) / (await absence()).leavingMs,
      floors: [written],
    },
    {
      name: `messages/s fetched from a mailbox into the history, 140 B, ${count} of them`,
      unit: '/s',
      higherIsBetter: true,
      ours: async () => (1000 * MESSAGES) / (await absence()).fetchingMs,
      floors: [written],
    },
  ];
}
