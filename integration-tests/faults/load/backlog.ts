import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { MessageView } from '../../../protocols/control/contract.ts';
import type { Daemon } from '../../harness/daemon.ts';
import { randomFrom } from '../../harness/random.ts';
import { openTown } from '../../harness/town.ts';
import { waitFor } from '../../harness/wait-for.ts';
import { resourcesOf } from './resources.ts';

/** Between two questions to the API while it works. */
const ASK_PAUSE_MS = 25;

/** The sender works on its backlog for so long before the recipient comes. */
const AWAY_MS = 3_000;

/** A message in a hundred is long. */
const LONG_CHARS = 4_000;
const USUAL_CHARS = 120;

/** 100,000 messages at a tenth of the usual speed, on a busy machine. */
const WORK_MS = 300_000;

export interface BacklogInit {
  seed: number;
  messages: number;
  signal: AbortSignal;
  log: (line: string) => void;
  /** Whether they may wait in the mailbox of the recipient. No more than one bundle of them unless said. */
  mailboxes?: boolean;
}

export interface BacklogReport {
  messages: number;
  queueMs: number;
  /** From the start of the sender's program to its being ready, with all of them in the outbox. */
  readyMs: number;
  /** How many were left in the mailbox while the recipient was away. */
  stored: number;
  /** From the recipient's start to the last acknowledgement, its own end by force included. */
  deliveryMs: number;
  perSecond: number;
  /** The sender's, from its restart to the end. */
  api: { asked: number; p50Ms: number; longestMs: number };
  /** Events that a client saw which came back with the cursor it had before the restart, and how long it took. */
  replay: { messages: number; ms: number };
  /** Undefined where the system does not tell. */
  peakRssBytes: { sender: number; recipient: number } | undefined;
}

function textOf(seed: number): (index: number) => string {
  const random = randomFrom(seed);
  const marks = new Map<number, string>();
  return (index) => {
    let text = marks.get(index);
    if (text === undefined) {
      const length = random() < 0.01 ? LONG_CHARS : Math.floor(USUAL_CHARS * random());
      text = `${index} `.padEnd(length, '.');
      marks.set(index, text);
    }
    return text;
  };
}

async function queueAll(
  from: Daemon,
  to: string,
  count: number,
  text: (index: number) => string,
): Promise<void> {
  const stream = from.client.sendStream({ until: 'queued' });
  const sending = (async () => {
    for (let index = 0; index < count; index++) {
      if (!stream.send({ to, text: text(index) })) await stream.drain();
    }
    stream.end();
  })();
  let queued = 0;
  for await (const answers of stream.batches) {
    for (const answer of answers) {
      if ('error' in answer) throw new Error(answer.error.message);
      queued++;
    }
  }
  await sending;
  if (queued !== count) throw new Error(`${queued} of ${count} were answered`);
}

/** Whether somebody, with the hook in it, was handed a right to deposit in a mailbox since its start. */
async function mayDeposit({ program }: Daemon): Promise<boolean> {
  const points = await program.tell({ type: 'points' });
  return (points['standings.keep:after-commit']?.changing ?? 0) > 0;
}

/** Asks for the status and a page of the history all the time, until the signal fires; milliseconds of each answer. */
async function keepAsking(daemon: Daemon, who: string, signal: AbortSignal): Promise<number[]> {
  const tookMs: number[] = [];
  const timed = async (ask: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await ask();
    tookMs.push(performance.now() - start);
  };
  while (!signal.aborted) {
    await timed(async () => daemon.client.call('status', {}));
    await timed(async () => daemon.client.call('history', { who, limit: 50 }));
    await delay(ASK_PAUSE_MS);
  }
  return tookMs;
}

/** Reads all messages behind a cursor, as a client does that comes back. */
async function replayed(
  daemon: Daemon,
  after: string,
  count: number,
  signal: AbortSignal,
): Promise<{ messages: number; ms: number }> {
  const start = performance.now();
  const seen = new Set<string>();
  const stop = new AbortController();
  const events = daemon.client.events({ after, signal: AbortSignal.any([signal, stop.signal]) });
  for await (const event of events) {
    if (event.type !== 'message') continue;
    if (seen.has(event.message.id)) throw new Error('a message came twice in the replay');
    seen.add(event.message.id);
    if (seen.size === count) break;
  }
  stop.abort();
  return { messages: seen.size, ms: Math.round(performance.now() - start) };
}

async function conversation(daemon: Daemon, who: string): Promise<MessageView[]> {
  const pages: MessageView[][] = [];
  for (let before: string | undefined; ;) {
    const page = await daemon.client.call('history', { who, before, limit: 1000 });
    pages.unshift(page.messages);
    if (page.next === null) return pages.flat();
    before = page.next;
  }
}

/** @throws Error that says what is not as it was sent */
function checkMessages(
  whose: string,
  messages: readonly MessageView[],
  count: number,
  text: (index: number) => string,
): void {
  if (messages.length !== count) throw new Error(`${whose} has ${messages.length} of ${count} messages`);
  for (const [index, message] of messages.entries()) {
    if (message.text !== text(index)) throw new Error(`${whose}: message ${index} is another one`);
    if (message.missing !== 0)
      throw new Error(`${whose}: ${message.missing} are missing before message ${index}`);
  }
}

/**
 * The sender is killed with its outbox full and started again, has to answer its clients while it works that off, and the
 * recipient is killed on the way. In the end everything is there once, in order.
 *
 * @throws Error that says what is not
 */
export async function backlog({
  seed,
  messages: count,
  signal,
  log,
  mailboxes = false,
}: BacklogInit): Promise<BacklogReport> {
  await using town = await openTown({ signal });
  const room = mailboxes ? [] : ['--mailbox-blobs=1'];
  const bootstrap = await town.bootstrap({ args: ['--log-level=info', ...room] });
  const options = {
    bootstrap: [bootstrap],
    args: ['--log-level=warn'],
  };
  const ada = await town.daemon('ada', { ...options, name: 'ada', hook: mailboxes });
  const ben = await town.daemon('ben', { ...options, name: 'ben' });
  await Promise.all([ada.connected(), ben.connected()]);
  const who = await ada.knows('ben');
  // From a stranger, as whom she would write else, the mailbox takes four blobs.
  if (mailboxes) await waitFor("ada to have ben's right to deposit", async () => mayDeposit(ada), { signal });
  await ben.program.stop();

  const text = textOf(seed);
  const events = ada.client.events({ signal });
  // The first event names where a client stood before all this.
  const first = events[Symbol.asyncIterator]().next();
  await ada.send(who, text(0));
  const seen = await first;
  if (seen.done === true) throw new Error('the event stream ended');
  const { cursor } = seen.value;
  const queueStart = performance.now();
  await queueAll(ada, who, count - 1, (index) => text(index + 1));
  const queueMs = Math.round(performance.now() - queueStart);
  log(`${count} messages are queued`);

  await ada.program.kill();
  const start = performance.now();
  await ada.program.start();
  const readyMs = Math.round(performance.now() - start);
  log(`the sender is ready again after ${readyMs} ms`);

  const asking = new AbortController();
  const asked = keepAsking(ada, who, asking.signal);
  asked.catch(() => undefined);
  const replay = await replayed(ada, cursor, count - 1, signal);
  await delay(AWAY_MS, undefined, { signal });
  const stored = (await conversation(ada, who)).filter(({ state }) => state === 'stored').length;

  const deliveryStart = performance.now();
  const waiting = async (): Promise<number> =>
    (await ada.client.call('status', {}, { signal })).outbox.messages;
  await ben.program.start();
  await waitFor('half of it to be delivered', async () => (await waiting()) < count / 2, {
    signal,
    timeoutMs: WORK_MS,
  });
  const firstPeak = (await resourcesOf(ben.program.pid))?.peakRssBytes ?? 0;
  await ben.program.kill();
  log('the recipient is killed with half of it');
  await ben.program.start();
  await waitFor('all to be delivered', async () => (await waiting()) === 0, { signal, timeoutMs: WORK_MS });
  const deliveryMs = Math.round(performance.now() - deliveryStart);
  asking.abort();
  const tookMs = (await asked).sort((a, b) => a - b);
  const [sender, recipient] = await Promise.all(
    [ada, ben].map(async ({ program }) => (await resourcesOf(program.pid))?.peakRssBytes),
  );

  checkMessages('the recipient', await ben.inbox(), count, text);
  const own = await conversation(ada, who);
  checkMessages('the sender', own, count, text);
  const undelivered = own.filter(({ state }) => state !== 'delivered').length;
  if (undelivered > 0) throw new Error(`the sender shows ${undelivered} messages as not delivered`);
  return {
    messages: count,
    queueMs,
    readyMs,
    stored,
    deliveryMs,
    perSecond: Math.round(count / (deliveryMs / 1000)),
    api: {
      asked: tookMs.length,
      p50Ms: Math.round(tookMs[tookMs.length >> 1]! * 10) / 10,
      longestMs: Math.round(tookMs.at(-1)!),
    },
    replay,
    peakRssBytes:
      sender === undefined || recipient === undefined
        ? undefined
        : { sender, recipient: Math.max(recipient, firstPeak) },
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      messages: { type: 'string', default: '100000' },
      mailboxes: { type: 'boolean', default: false },
    },
  });
  const report = await backlog({
    seed: Number(values.seed),
    messages: Number(values.messages),
    mailboxes: values.mailboxes,
    signal: new AbortController().signal,
    log: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}
