import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { EventView } from '../../protocols/control/contract.ts';
import type { EventLog } from '../event-log.ts';
import { HEARTBEAT_MS } from './limits.ts';

export interface EventStreamOptions {
  events: Pick<EventLog, 'subscribe' | 'cursor'>;
  /** The cursor of the last event the client has seen. */
  after: string | undefined;
  /** Ends the stream: the client left, or the daemon stops. */
  signal: AbortSignal;
  /** Milliseconds between comments on a silent stream, default 15 s. */
  heartbeatMs?: number;
}

/**
 * Writes events as server-sent events until the signal fires. What happened together is one write; a client that doesn't
 * read holds up nothing but itself.
 *
 * A client that begins now is told its cursor at once, so that it misses nothing even if it has to come back before the
 * first event.
 *
 * @throws ControlError `invalid`, at the call, for a malformed cursor: nothing is written then
 */
export function serveEvents(
  response: ServerResponse,
  { events, after, signal, heartbeatMs = HEARTBEAT_MS }: EventStreamOptions,
): Promise<void> {
  const start = after ?? events.cursor();
  const batches = events.subscribe({ after: start, signal });
  return write(response, start, batches, heartbeatMs, signal);
}

async function write(
  response: ServerResponse,
  start: string,
  batches: AsyncIterable<EventView[]>,
  heartbeatMs: number,
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.write(`id: ${start}\n\n`);
  const heartbeat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(':\n\n');
  }, heartbeatMs);
  try {
    for await (const batch of batches) {
      let text = '';
      for (const event of batch) text += `id: ${event.cursor}\ndata: ${JSON.stringify(event)}\n\n`;
      if (!response.write(text)) await once(response, 'drain', { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}
