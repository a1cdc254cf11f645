import type { MessageView } from '../protocols/control/contract.ts';
import { decodeMessage, ID_BYTES } from '../protocols/chat/message.ts';
import type { Arrival, Outgoing } from './delivery/delivery.ts';
import { formatMessageId } from './store/message-id.ts';
import type { HistoryPosition, StoredMessage } from './store/history.ts';
import type { SentBatch } from './store/outgoing.ts';

export interface NamesForViews {
  self: string;
  ownName: () => string | null;
  nameOf: (peer: string) => string | null;
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** A place in a history as clients hand it back. */
export function formatCursor({ clockMs, clockCount, row }: HistoryPosition): string {
  return `${clockMs}.${clockCount}.${row}`;
}

/** The place behind a cursor, or undefined when it is none. */
export function parseCursor(cursor: string): HistoryPosition | undefined {
  const match = /^(\d{1,16})\.(\d{1,10})\.(\d{1,16})$/.exec(cursor);
  if (match === null) return undefined;
  const [clockMs, clockCount, row] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return Number.isSafeInteger(clockMs) && Number.isSafeInteger(row)
    ? { clockMs, clockCount, row }
    : undefined;
}

/** A stored message as the API shows it. */
export function messageView(message: StoredMessage, { self, ownName, nameOf }: NamesForViews): MessageView {
  const other = { peer: message.peer, name: nameOf(message.peer) };
  const own = { peer: self, name: ownName() };
  const [from, to] = message.outgoing ? [own, other] : [other, own];
  return {
    id: message.id,
    from: from.peer,
    fromName: from.name,
    to: to.peer,
    toName: to.name,
    text: message.text,
    sentAt: iso(message.sentAtMs),
    receivedAt: message.outgoing ? null : iso(message.receivedAtMs),
    state: message.state,
    seq: message.counter,
    missing: message.missing,
    failure: message.failure,
    cursor: formatCursor(message),
  };
}

/** A message just received, for an event. */
export function arrivedView(peer: string, arrival: Arrival, names: NamesForViews): MessageView {
  const message = decodeMessage(arrival.message);
  const stored: StoredMessage = {
    ...message,
    ...arrival,
    id: formatMessageId(message.id),
    peer,
    outgoing: false,
    state: 'unread',
    failure: null,
  };
  return messageView(stored, names);
}

/** A message of our own that was just committed, for an event: the `index`-th of its batch. */
export function sentView(
  batch: SentBatch,
  index: number,
  { peer, text, sentAtMs }: Outgoing & { sentAtMs: number },
  names: NamesForViews,
): MessageView {
  const stored: StoredMessage = {
    row: batch.rows[index]!,
    id: formatMessageId(batch.ids, index * ID_BYTES),
    peer,
    outgoing: true,
    text,
    sentAtMs,
    receivedAtMs: 0,
    state: 'queued',
    counter: batch.counters[index]!,
    missing: 0,
    failure: null,
    clockMs: batch.clocks[index * 2]!,
    clockCount: batch.clocks[index * 2 + 1]!,
  };
  return messageView(stored, names);
}
