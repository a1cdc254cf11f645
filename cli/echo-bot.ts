import type { ControlClient } from '../protocols/control/client.ts';
import type { SendStream } from '../protocols/control/send-stream.ts';
import { followDaemon, isAbsence } from './daemon-events.ts';
import { describeError } from './exit-code.ts';
import { isOwn } from './message-lines.ts';
import { safeLine } from './terminal-text.ts';

const PAGE_MESSAGES = 500;

export interface EchoBotInit {
  dataDir: string;
  signal: AbortSignal;
  onReady: () => void;
}

/**
 * Answers every message with its own text, through nothing but the daemon's API, and what came while it was away too.
 * Whoever wants to write to it may. A message counts as read once its answer is queued: killed between the two, the bot answers that message again.
 */
export async function run({ dataDir, signal, onReady }: EchoBotInit): Promise<void> {
  let client: ControlClient | undefined;
  let stream: SendStream | undefined;
  let place: string | undefined;
  let ready = false;

  async function answerNew(): Promise<void> {
    if (client === undefined || stream === undefined) return;
    for (let more = true; more;) {
      const page = await client.call(
        'inbox',
        { unread: 'true', after: place, limit: PAGE_MESSAGES },
        { signal },
      );
      for (const { id, from, text, cursor } of page.messages) {
        if (!stream.send({ to: from, text, ref: id })) await stream.drain();
        place = cursor;
      }
      more = page.next !== null && page.messages.length > 0;
    }
  }

  async function acceptAll(): Promise<void> {
    const { requests = [] } = (await client?.call('requests', {}, { signal })) ?? {};
    for (const { peerId } of requests) await client?.call('accept', { who: peerId }, { signal });
  }

  for await (const item of followDaemon({ dataDir, signal })) {
    try {
      if (item.type === 'opened') {
        client = item.client;
        stream = client.sendStream({ until: 'queued', signal });
        // What was not answered before the daemon went away is still unread: begin at the beginning.
        place = undefined;
        void markAnswered(client, stream, signal);
        await acceptAll();
        await answerNew();
        if (!ready) onReady();
        ready = true;
      } else if (item.type === 'event') {
        const { event } = item;
        if (event.type === 'resync' || (event.type === 'request' && event.change === 'received'))
          await acceptAll();
        if (event.type === 'resync' || (event.type === 'message' && !isOwn(event.message))) await answerNew();
      }
    } catch (error) {
      if (!signal.aborted && !isAbsence(error)) throw error;
    }
  }
}

/** Marks a message as read once its answer is in the daemon's outbox; until then it would be answered again. */
async function markAnswered(client: ControlClient, stream: SendStream, signal: AbortSignal): Promise<void> {
  try {
    for await (const batch of stream.batches) {
      const newest = new Map<string, string>();
      for (const answer of batch) {
        if ('error' in answer) {
          process.stderr.write(`echo-bot: ${safeLine(answer.error.message)}\n`);
        } else if (answer.state === 'queued' && typeof answer.ref === 'string') {
          newest.set(answer.to, answer.ref);
        }
      }
      for (const [who, upTo] of newest) await client.call('markRead', { who, upTo }, { signal });
    }
  } catch (error) {
    // With the daemon away there is nobody to tell; who follows it notices too.
    if (!signal.aborted && !isAbsence(error)) {
      process.stderr.write(`echo-bot: ${safeLine(describeError(error))}\n`);
    }
  }
}
