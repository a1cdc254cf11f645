import type { ControlOperations, OperationResult } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import type { OutgoingState } from '../delivery/delivery.ts';
import { messageView, parseCursor } from '../message-view.ts';
import type { HistoryPosition, StoredMessage } from '../store/history.ts';
import type { Daemon } from './daemon.ts';
import { hasReached } from './wait-states.ts';
import type { WaitState } from './wait-states.ts';

function positionOf(cursor: string | undefined, field: string): HistoryPosition | undefined {
  if (cursor === undefined) return undefined;
  const position = parseCursor(cursor);
  if (position === undefined) {
    throw new ControlError('invalid', 'that is no cursor of this daemon', {
      field,
      hint: 'hand back a cursor from an earlier answer, as it was',
    });
  }
  return position;
}

/** What a user is told of messages that stay here until the other one's person has said yes. */
const waitsFor = (name: string): string =>
  `it waits for ${name} to accept you: your first message has asked for that`;

/** Sending and reading messages. */
export function messageOperations(
  daemon: Daemon,
): Pick<
  ControlOperations,
  'send' | 'message' | 'retry' | 'inbox' | 'conversations' | 'history' | 'markRead'
> {
  const { acquaintances, delivery, directory, names, self, store } = daemon;

  const view = (message: StoredMessage): OperationResult<'message'> => messageView(message, names);

  const find = async (id: string): Promise<StoredMessage> => {
    const message = await store.call('history.message', { id });
    if (message === undefined)
      throw new ControlError('not-found', 'there is no such message', { field: 'id' });
    return message;
  };

  /** Why messages for a peer do not get further. */
  const whyWaiting = (peer: string): string | null => {
    if (acquaintances.keepsUsWaiting(peer)) return waitsFor(directory.nameOf(peer) ?? peer);
    const { dial, mailbox } = delivery.troubleWith(peer) ?? {};
    const reasons = [
      ...(dial === undefined ? [] : [`not reached: ${dial}`]),
      ...(mailbox === undefined ? [] : [`not left in a mailbox: ${mailbox}`]),
    ];
    return reasons.length === 0 ? null : reasons.join('; ');
  };

  const sendTo = async (
    peer: string,
    text: string,
    { wait, timeoutMs, signal }: { wait: WaitState; timeoutMs: number; signal: AbortSignal },
  ): Promise<OperationResult<'send'>> => {
    if (peer === self) {
      throw new ControlError('invalid', 'a message to oneself has nowhere to go', { field: 'to' });
    }
    let state: OutgoingState = 'queued';
    let failure: string | null = null;
    const arrived = Promise.withResolvers<void>();
    const committed = await delivery.send([{ peer, text }], ([change]) => {
      state = change!.state;
      failure = change!.failure;
      if (hasReached(state, wait)) arrived.resolve();
    });
    try {
      if (!hasReached(state, wait)) {
        const late = setTimeout(() => arrived.resolve(), timeoutMs);
        const gone = (): void => arrived.resolve();
        signal.addEventListener('abort', gone, { once: true });
        if (signal.aborted) gone();
        await arrived.promise;
        clearTimeout(late);
        signal.removeEventListener('abort', gone);
      }
      const isStuck = !hasReached(state, 'stored') && acquaintances.keepsUsWaiting(peer);
      if (failure === null && (isStuck || !hasReached(state, wait))) failure = whyWaiting(peer);
      return { id: committed.idAt(0), state, to: peer, failure };
    } finally {
      committed.untrack();
    }
  };

  return {
    async send({ to, text, wait, timeoutMs }, { signal }) {
      return sendTo(await directory.recipient(to, { signal, field: 'to' }), text, {
        wait,
        timeoutMs,
        signal,
      });
    },

    async message({ id }) {
      return view(await find(id));
    },

    async retry({ id }, { signal }) {
      const message = await find(id);
      if (message.state !== 'failed') {
        throw new ControlError('conflict', `the message has not failed: it is ${message.state}`, {
          field: 'id',
        });
      }
      return sendTo(message.peer, message.text, { wait: 'queued', timeoutMs: 0, signal });
    },

    async inbox({ unread, after, limit }) {
      const from = positionOf(after, 'after')?.row ?? 0;
      const messages = await store.call('history.inbox', { after: from, unread, limit });
      const views = messages.map(view);
      return { messages: views, next: messages.length < limit ? null : (views.at(-1)?.cursor ?? null) };
    },

    async conversations() {
      const rows = await store.call('history.conversations', undefined);
      return {
        conversations: rows.map(({ peer, unread, last }) => ({
          peerId: peer,
          name: directory.certifiedName(peer),
          petname: directory.contacts.find((contact) => contact.peer === peer)?.petname ?? null,
          unread,
          last: view(last),
        })),
      };
    },

    async history({ who, before, limit }, { signal }) {
      const peer = await directory.resolve(who, { signal });
      const position = positionOf(before, 'before');
      const messages = await store.call('history.page', {
        peer,
        limit,
        ...(position !== undefined && { before: position }),
      });
      const views = messages.map(view);
      return { messages: views, next: messages.length < limit ? null : (views[0]?.cursor ?? null) };
    },

    async markRead({ who, upTo }, { signal }) {
      const peer = await directory.resolve(who, { signal });
      const read = await store.call('history.read', { peer, id: upTo });
      if (read === undefined) {
        throw new ControlError('not-found', 'there is no such message in this conversation', {
          field: 'upTo',
        });
      }
      if (daemon.config.readReceipts) delivery.sendReceipts(peer, read.receipts);
      return { unread: read.unread };
    },
  };
}
