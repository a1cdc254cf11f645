import { EVENTS_PATH } from './routes.ts';
import {
  DaemonUnreachableError,
  explainFailure,
  InvalidAnswerError,
  parseAnswer,
  readControlError,
} from './exchange.ts';
import type { EventView } from './contract.ts';
import type { Exchanger } from './exchange.ts';

/** Events as the daemon logs them. Ends only by an error, an abort or the reader's `break`. */
export interface EventStream extends AsyncIterable<EventView> {
  /**
   * Settles when the daemon has accepted: whatever happens from then on is in the stream, so a reader that now asks for
   * the present state misses nothing.
   */
  opened: Promise<void>;
  /**
   * Where the reader stands: the cursor of the last event it was given or, before the first, the one the stream began
   * at. Undefined until the daemon has said.
   */
  readonly cursor: string | undefined;
}

export interface EventStreamOptions {
  /** The cursor of the last event seen; without it, the stream begins with what happens from now on. */
  after?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** One event is at most one message or a batch of ids; a daemon that sends more without an end is not one of ours. */
const MAX_EVENT_CHARS = 16 * 1024 * 1024;

/**
 * Reads `GET /v1/events`.
 *
 * @throws {ControlError} when the daemon refuses, for instance a cursor it did not give out
 * @throws {DaemonUnreachableError} when no daemon answers or it goes away
 * @throws {InvalidAnswerError} when it is no daemon that answers
 */
export function eventStream(http: Exchanger, { after, signal }: EventStreamOptions): EventStream {
  const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
  const { request, response } = http.open({
    method: 'GET',
    path: EVENTS_PATH + query,
    headers: { accept: 'text/event-stream' },
    signal,
  });

  const opened = response.then(async (answer) => {
    if (answer.statusCode !== 200) throw await readControlError(answer);
    request.setNoDelay(true);
    return answer;
  });
  opened.catch(() => {});

  let cursor = after;

  async function* read(): AsyncGenerator<EventView, void, undefined> {
    const answer = await opened;
    answer.setEncoding('utf8');
    let pending = '';
    try {
      for await (const chunk of answer as AsyncIterable<string>) {
        pending += chunk;
        const end = pending.lastIndexOf('\n\n');
        if (end === -1) {
          if (pending.length > MAX_EVENT_CHARS)
            throw new InvalidAnswerError('the daemon sent an event without an end');
          continue;
        }
        const complete = pending.slice(0, end);
        pending = pending.slice(end + 2);
        for (const block of complete.split('\n\n')) {
          const { id, event } = parseBlock(block);
          cursor = event?.cursor ?? id ?? cursor;
          if (event !== undefined) yield event;
        }
      }
    } catch (error) {
      throw explainFailure(error, signal);
    } finally {
      request.destroy();
    }
    throw new DaemonUnreachableError('the daemon ended its events', { mayHaveArrived: true });
  }

  const settled = opened.then(() => {});
  settled.catch(() => {});
  return {
    opened: settled,
    get cursor() {
      return cursor;
    },
    [Symbol.asyncIterator]: read,
  };
}

/** One block of a server-sent event stream. One without data tells a cursor, or only keeps the connection alive. */
function parseBlock(block: string): { id: string | undefined; event: EventView | undefined } {
  let id: string | undefined;
  let data: string | undefined;
  for (const line of block.split('\n')) {
    if (line.startsWith('id:')) id = fieldValue(line, 3);
    if (!line.startsWith('data:')) continue;
    const value = fieldValue(line, 5);
    data = data === undefined ? value : `${data}\n${value}`;
  }
  return { id, event: data === undefined ? undefined : (parseAnswer(data) as EventView) };
}

/** What follows a field's name and colon, without the one blank that may come first. */
function fieldValue(line: string, start: number): string {
  return line.slice(line.charCodeAt(start) === 0x20 ? start + 1 : start);
}
