import { SEND_STREAM_PATH } from './routes.ts';
import { explainFailure, InvalidAnswerError, parseAnswer, readControlError } from './exchange.ts';
import type { SendLineAnswerView, SendLineView } from './contract.ts';
import type { Exchanger } from './exchange.ts';

/**
 * Messages in, their states out, over one request. Read the answers while you send: a daemon whose answers nobody reads
 * stops reading lines. Iterate either the stream or its `batches`, once.
 */
export interface SendStream extends AsyncIterable<SendLineAnswerView> {
  /** Answers as they came in, many at a time: cheaper than one by one for who sends thousands a second. */
  batches: AsyncIterable<SendLineAnswerView[]>;
  /** Takes a line to send at the end of this turn. False when the daemon is behind: await `drain` before the next. */
  send(line: SendLineView): boolean;
  /** Resolves when lines can be sent again. Throws when the stream ended first. */
  drain(): Promise<void>;
  /** No more lines: the answers end after the last line's. */
  end(): void;
}

export interface SendStreamOptions {
  /**
   * The state up to which a message is reported on, default `delivered`. A daemon keeps some thousands of messages in
   * this view at a time, so who writes to people that may be away waits for `queued` only.
   */
  until?: 'queued' | 'stored' | 'delivered' | undefined;
  signal?: AbortSignal | undefined;
}

/** Lines gathered before they are written without waiting for the end of the turn, in UTF-16 units. */
const FLUSH_CHARS = 64 * 1024;

/** An answer is an id, a state and perhaps an error; more than this without a line end is no answer. */
const MAX_ANSWER_CHARS = 1024 * 1024;

/**
 * Opens `POST /v1/messages/stream`: newline-delimited JSON both ways. Lines sent in one turn of the event loop leave in
 * one write.
 *
 * @throws {ControlError} from the iteration, when the daemon refuses the stream as a whole
 * @throws {DaemonUnreachableError} from the iteration, when no daemon answers or it goes away
 * @throws {InvalidAnswerError} from the iteration, when it is no daemon that answers
 */
export function sendStream(http: Exchanger, { until, signal }: SendStreamOptions): SendStream {
  const { request, response } = http.open({
    method: 'POST',
    path: until === undefined ? SEND_STREAM_PATH : `${SEND_STREAM_PATH}?until=${until}`,
    headers: { 'content-type': 'application/x-ndjson', accept: 'application/x-ndjson' },
    signal,
  });
  // The daemon answers line by line, so it has to see the request before the first line is written.
  request.flushHeaders();

  let gathered = '';
  let scheduled = false;
  let writable = true;
  let ended = false;
  const waiting = new Set<PromiseWithResolvers<void>>();

  request.on('drain', () => {
    writable = true;
    settleWaiting();
  });
  request.on('close', settleWaiting);

  function settleWaiting(): void {
    for (const { resolve } of waiting) resolve();
    waiting.clear();
  }

  function flush(): void {
    scheduled = false;
    if (gathered === '' || request.destroyed) return;
    const lines = gathered;
    gathered = '';
    writable = request.write(lines);
  }

  async function* readBatches(): AsyncGenerator<SendLineAnswerView[], void, undefined> {
    try {
      const answer = await response;
      if (answer.statusCode !== 200) throw await readControlError(answer);
      answer.setEncoding('utf8');
      let pending = '';
      for await (const chunk of answer as AsyncIterable<string>) {
        const lines = (pending + chunk).split('\n');
        pending = lines.pop() ?? '';
        if (pending.length > MAX_ANSWER_CHARS)
          throw new InvalidAnswerError('the daemon sent an answer without an end');
        const answers: SendLineAnswerView[] = [];
        for (const line of lines) {
          if (line !== '') answers.push(parseAnswer(line) as SendLineAnswerView);
        }
        if (answers.length > 0) yield answers;
      }
    } catch (error) {
      throw explainFailure(error, signal);
    } finally {
      request.destroy();
    }
  }

  async function* readAnswers(): AsyncGenerator<SendLineAnswerView, void, undefined> {
    for await (const batch of readBatches()) yield* batch;
  }

  return {
    [Symbol.asyncIterator]: readAnswers,
    batches: { [Symbol.asyncIterator]: readBatches },

    send(line) {
      if (ended) throw new Error('the send stream was ended');
      gathered += `${JSON.stringify(line)}\n`;
      if (gathered.length >= FLUSH_CHARS) flush();
      else if (!scheduled) {
        scheduled = true;
        setImmediate(flush);
      }
      return writable;
    },

    async drain() {
      if (!writable && !request.destroyed) {
        const waiter = Promise.withResolvers<void>();
        waiting.add(waiter);
        await waiter.promise;
      }
      signal?.throwIfAborted();
      if (request.destroyed) throw new Error('the send stream is closed');
    },

    end() {
      if (ended) return;
      flush();
      ended = true;
      request.end();
    },
  };
}
