import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ControlError } from '../../protocols/control/errors.ts';
import { MESSAGE_STATES } from '../../protocols/control/routes.ts';
import { LINGER_MS, MAX_JSON_BYTES, MAX_UNANSWERED } from './limits.ts';
import { refusal } from './refusals.ts';
import { LineSplitter, parseSendLine, refusalLine, stateLine } from './send-lines.ts';
import type { Ref } from './send-lines.ts';

/** A message a client streams. `index` is its mark towards the client, unique within the stream. */
export interface StreamedMessage {
  index: number;
  to: string;
  text: string;
  ref: Ref;
}

/** What became of a streamed message: it reached a state, or it was refused and nothing of it was kept. */
export type StreamedChange =
  | {
      index: number;
      id: string;
      /** The recipient's peer id. */
      to: string;
      state: (typeof MESSAGE_STATES)[number];
      failure?: string | null;
    }
  | { index: number; error: ControlError };

/**
 * The daemon's side of the streaming send. Is given all messages that arrived in one turn of the event loop, and calls
 * `onChanges` with all that changed in one turn, as often as something does. A message needs no further report once it
 * was refused, has failed, or has reached the state waited for; `signal` fires when nobody listens any more.
 */
export type SendBatch = (
  messages: StreamedMessage[],
  onChanges: (changes: readonly StreamedChange[]) => void,
  options: { until: StreamUntil; signal: AbortSignal },
) => void;

export type StreamUntil = 'queued' | 'stored' | 'delivered';

const RANK = Object.fromEntries(MESSAGE_STATES.map((state, rank) => [state, rank])) as Record<
  (typeof MESSAGE_STATES)[number],
  number
>;

export interface SendStreamOptions {
  sendBatch: SendBatch;
  /** Each message is reported on until it reaches this state, or fails, which ranks above all. */
  until: StreamUntil;
  /** Ends the stream at once. What was accepted goes on its way all the same. */
  signal: AbortSignal;
}

/**
 * Serves one streaming send: lines in, lines out, both at the same time. What arrives in one turn of the event loop goes
 * to the daemon as one batch, what changes in one turn is one write. Reading stops while 4,096 messages are on their
 * way, or the client doesn't take its answers; ends when the client has ended its side and every message is settled.
 */
export function serveSendStream(
  request: IncomingMessage,
  response: ServerResponse,
  { sendBatch, until, signal }: SendStreamOptions,
): void {
  const gone = new AbortController();
  const splitter = new LineSplitter(MAX_JSON_BYTES);
  /** The marks of the messages that have not settled yet. */
  const unanswered = new Map<number, Ref>();
  let batch: StreamedMessage[] = [];
  let out = '';
  let lineNumber = 0;
  let inputEnded = false;
  let closed = false;
  let scheduled = false;

  const onChanges = (changes: readonly StreamedChange[]): void => {
    if (closed) return;
    for (const change of changes) {
      const { index } = change;
      if (!unanswered.has(index)) continue;
      const ref = unanswered.get(index);
      if ('error' in change) {
        unanswered.delete(index);
        out += refusalLine(ref, change.error);
      } else {
        if (RANK[change.state] >= RANK[until]) unanswered.delete(index);
        const { id, to, state, failure = null } = change;
        out += stateLine({ ref, id, to, state, failure });
      }
    }
    schedule();
  };

  const accept = (lines: (string | undefined)[]): void => {
    for (const json of lines) {
      lineNumber++;
      if (json !== undefined && (json === '' || json.trim() === '')) continue;
      const parsed = parseSendLine(json, lineNumber);
      if ('error' in parsed) {
        out += refusalLine(parsed.ref, parsed.error);
        continue;
      }
      const { to, text, ref } = parsed.line;
      batch.push({ index: lineNumber, to, text, ref });
      unanswered.set(lineNumber, ref);
    }
    if (isFull()) request.pause();
    schedule();
  };

  const isFull = (): boolean => unanswered.size >= MAX_UNANSWERED || response.writableNeedDrain;

  const submit = (): void => {
    const messages = batch;
    batch = [];
    try {
      sendBatch(messages, onChanges, { until, signal: gone.signal });
    } catch (error) {
      const refused = refusal(error);
      onChanges(messages.map(({ index }) => ({ index, error: refused })));
    }
  };

  const turn = (): void => {
    scheduled = false;
    if (closed) return;
    if (batch.length > 0) submit();
    if (inputEnded && unanswered.size === 0) {
      finish();
      return;
    }
    if (out !== '') {
      response.write(out);
      out = '';
    }
    if (isFull()) request.pause();
    else request.resume();
  };

  const schedule = (): void => {
    if (scheduled || closed) return;
    scheduled = true;
    setImmediate(turn);
  };

  const finish = (): void => {
    closed = true;
    response.end(out);
    out = '';
    gone.abort();
  };

  const onData = (chunk: Buffer): void => {
    try {
      accept(splitter.push(chunk));
    } catch (error) {
      request.off('data', onData);
      if (batch.length > 0) submit();
      out += refusalLine(undefined, refusal(error));
      // The client may still be writing: its rest is read and dropped, so that it sees the answer, but not forever.
      const cut = setTimeout(() => request.destroy(), LINGER_MS);
      response.once('close', () => clearTimeout(cut));
      finish();
    }
  };

  const onStop = (): void => {
    if (closed) return;
    if (batch.length > 0) submit();
    finish();
  };

  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  response.flushHeaders();
  response.on('drain', schedule);
  response.once('close', () => {
    closed = true;
    gone.abort();
    signal.removeEventListener('abort', onStop);
  });
  request.on('data', onData);
  request.once('end', () => {
    if (closed) return;
    accept(splitter.end());
    inputEnded = true;
  });
  signal.addEventListener('abort', onStop, { once: true });
  if (signal.aborted) onStop();
}
