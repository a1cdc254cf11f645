import { ControlError } from '../../protocols/control/errors.ts';
import type { SendBatch, StreamedChange, StreamedMessage, StreamUntil } from '../api/send-stream.ts';
import { refusal } from '../api/refusals.ts';
import type { Delivery, OutgoingState } from '../delivery/delivery.ts';
import type { Directory } from '../directory.ts';
import { hasReached } from './wait-states.ts';

interface Addressed {
  message: StreamedMessage;
  peer: string;
}

const SELF = new ControlError('invalid', 'a message to oneself has nowhere to go', { field: 'to' });

/** The daemon's side of the streaming send: whom each line is for, one commit for all of them, their states as they come. */
export function sendBatch({
  delivery,
  directory,
  self,
}: {
  delivery: Pick<Delivery, 'send'>;
  directory: Pick<Directory, 'known' | 'resolve'>;
  self: string;
}): SendBatch {
  const refuse = ({ index }: StreamedMessage, error: unknown): StreamedChange => ({
    index,
    error: refusal(error),
  });

  /** Of each stream, what ends the tracking of its messages when its client goes. */
  const streams = new WeakMap<AbortSignal, Set<() => void>>();
  const tracked = (signal: AbortSignal): Set<() => void> => {
    let untracks = streams.get(signal);
    if (untracks === undefined) {
      const created = new Set<() => void>();
      signal.addEventListener('abort', () => created.forEach((untrack) => untrack()), { once: true });
      streams.set(signal, created);
      untracks = created;
    }
    return untracks;
  };

  const commit = async (
    items: Addressed[],
    onChanges: (changes: readonly StreamedChange[]) => void,
    { until, signal }: { until: StreamUntil; signal: AbortSignal },
  ): Promise<void> => {
    if (items.length === 0) return;
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
      const untracks = tracked(signal);
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

  /** Lines for somebody who is being looked up wait for the answer together, so that they stay in order. */
  const lookups = new WeakMap<AbortSignal, Map<string, StreamedMessage[]>>();

  return (messages, onChanges, options) => {
    const { signal } = options;
    let waiting = lookups.get(signal);
    if (waiting === undefined) {
      waiting = new Map();
      lookups.set(signal, waiting);
    }
    const pending = waiting;

    const send = (batch: readonly StreamedMessage[], peerOf: (message: StreamedMessage) => string): void => {
      const items = batch.map((message) => ({ message, peer: peerOf(message) }));
      const toSelf = items.filter(({ peer }) => peer === self);
      if (toSelf.length > 0) onChanges(toSelf.map(({ message }) => refuse(message, SELF)));
      void commit(
        items.filter(({ peer }) => peer !== self),
        onChanges,
        options,
      );
    };

    const lookUp = (message: StreamedMessage): void => {
      const { to } = message;
      const line = pending.get(to);
      if (line !== undefined) {
        line.push(message);
        return;
      }
      const fresh = [message];
      pending.set(to, fresh);
      directory
        .resolve(to, { signal, field: 'to' })
        .finally(() => pending.delete(to))
        .then((peer) => send(fresh, () => peer))
        .catch((error: unknown) => onChanges(fresh.map((each) => refuse(each, error))));
    };

    const known = new Map<string, string>();
    const ready: StreamedMessage[] = [];
    for (const message of messages) {
      const peer = pending.has(message.to) ? undefined : directory.known(message.to);
      if (peer === undefined) lookUp(message);
      else {
        known.set(message.to, peer);
        ready.push(message);
      }
    }
    if (ready.length > 0) send(ready, ({ to }) => known.get(to)!);
  };
}
