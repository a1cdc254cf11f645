import { ControlError } from '../../protocols/control/errors.ts';
import type { SendBatch, StreamedChange, StreamedMessage, StreamUntil } from '../api/send-stream.ts';
import { refusal } from '../api/refusals.ts';
import type { Delivery, OutgoingState } from '../delivery/delivery.ts';
import type { Directory } from '../directory.ts';
import { hasReached } from './wait-states.ts';

/**
 * Messages of one stream committed at a time. While the recipient works on one slice the next is committed; a whole
 * window at once would have each side wait for the other. The fsync of a slice this size is 2 µs a message.
 */
const SLICE_MESSAGES = 128;

interface Addressed {
  message: StreamedMessage;
  peer: string;
}

/** What is kept of one client's stream. */
interface OpenStream {
  onChanges: (changes: readonly StreamedChange[]) => void;
  until: StreamUntil;
  signal: AbortSignal;
  /** Lines to be committed, in order, and whether that is under way. */
  queue: Addressed[];
  committing: boolean;
  /** Lines for somebody who is being looked up wait for the answer together, so that they stay in order. */
  lookups: Map<string, StreamedMessage[]>;
  /** What ends the tracking of its messages when its client goes. */
  untracks: Set<() => void>;
}

const SELF = new ControlError('invalid', 'a message to oneself has nowhere to go', { field: 'to' });

/** The daemon's side of the streaming send: whom each line is for, few commits for many of them, their states as they come. */
export function sendBatch({
  delivery,
  directory,
  self,
}: {
  delivery: Pick<Delivery, 'send'>;
  directory: Pick<Directory, 'known' | 'resolve'>;
  self: string;
}): SendBatch {
  const streams = new WeakMap<AbortSignal, OpenStream>();

  const refuse = ({ index }: StreamedMessage, error: unknown): StreamedChange => ({
    index,
    error: refusal(error),
  });

  const commit = async (items: readonly Addressed[], stream: OpenStream): Promise<void> => {
    const { onChanges, until, signal, untracks } = stream;
    let idAt: (index: number) => string = () => '';
    const open = new Set(items.keys());
    const report = (
      changes: readonly { index: number; state: OutgoingState; failure: string | null }[],
    ): void => {
      onChanges(
        changes.map(({ index, state, failure }) => ({
          index: items[index]!.message.index,
          id: idAt(index),
          to: items[index]!.peer,
          state,
          failure,
        })),
      );
      for (const { index, state } of changes) if (hasReached(state, until)) open.delete(index);
      if (open.size === 0) finish();
    };
    let finish = (): void => undefined;
    try {
      const committed = await delivery.send(
        items.map(({ message, peer }) => ({ peer, text: message.text })),
        report,
      );
      ({ idAt } = committed);
      finish = () => {
        committed.untrack();
        untracks.delete(finish);
      };
      untracks.add(finish);
      report(items.map((_, index) => ({ index, state: 'queued', failure: null })));
      if (signal.aborted) finish();
    } catch (error) {
      onChanges(items.map(({ message }) => refuse(message, error)));
    }
  };

  /** Commits what a stream has queued, slice by slice; what was taken from a client is sent also when the client goes. */
  const commitQueue = async (stream: OpenStream): Promise<void> => {
    if (stream.committing) return;
    stream.committing = true;
    while (stream.queue.length > 0) await commit(stream.queue.splice(0, SLICE_MESSAGES), stream);
    stream.committing = false;
  };

  const enqueue = (stream: OpenStream, message: StreamedMessage, peer: string): void => {
    if (peer === self) stream.onChanges([refuse(message, SELF)]);
    else stream.queue.push({ message, peer });
  };

  const lookUp = (stream: OpenStream, message: StreamedMessage): void => {
    const { lookups, onChanges, signal } = stream;
    const { to } = message;
    const line = lookups.get(to);
    if (line !== undefined) {
      line.push(message);
      return;
    }
    const fresh = [message];
    lookups.set(to, fresh);
    directory
      .resolve(to, { signal, field: 'to' })
      .finally(() => lookups.delete(to))
      .then((peer) => {
        for (const each of fresh) enqueue(stream, each, peer);
        return commitQueue(stream);
      })
      .catch((error: unknown) => onChanges(fresh.map((each) => refuse(each, error))));
  };

  const open = (
    onChanges: OpenStream['onChanges'],
    { until, signal }: Pick<OpenStream, 'until' | 'signal'>,
  ): OpenStream => {
    const stream: OpenStream = {
      onChanges,
      until,
      signal,
      queue: [],
      committing: false,
      lookups: new Map(),
      untracks: new Set(),
    };
    signal.addEventListener('abort', () => stream.untracks.forEach((untrack) => untrack()), { once: true });
    streams.set(signal, stream);
    return stream;
  };

  return (messages, onChanges, options) => {
    const stream = streams.get(options.signal) ?? open(onChanges, options);
    for (const message of messages) {
      const peer = stream.lookups.has(message.to) ? undefined : directory.known(message.to);
      if (peer === undefined) lookUp(stream, message);
      else enqueue(stream, message, peer);
    }
    void commitQueue(stream);
  };
}
