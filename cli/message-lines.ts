import type { MessageView } from '../protocols/control/contract.ts';
import { count, displayName, friendlyTime, table } from './display.ts';
import { safeJson, safeLine, safeText } from './terminal-text.ts';

/** A message as one line of JSON, the same for `inbox`, `history` and `search`. */
export function messageJson(message: MessageView): string {
  return safeJson(messageFields(message));
}

/** What of a message goes into its line of JSON. */
export function messageFields(message: MessageView): Partial<MessageView> {
  const { id, from, fromName, to, text, sentAt, receivedAt, state, seq, missing, cursor } = message;
  return { id, from, fromName, to, text, sentAt, receivedAt, state, seq, missing, cursor };
}

/** Only what others wrote has been received. */
export function isOwn({ receivedAt }: MessageView): boolean {
  return receivedAt === null;
}

export function authorOf(message: MessageView): string {
  return isOwn(message) ? 'you' : displayName({ peerId: message.from, name: message.fromName });
}

/** What became of an own message, in words: never more than is known. */
export function describeState(state: MessageView['state'], failure: string | null): string {
  switch (state) {
    case 'queued':
      return 'queued here';
    case 'stored':
      return 'stored in a mailbox';
    case 'failed':
      return failure === null ? 'failed' : `failed: ${safeLine(failure)}`;
    default:
      return state;
  }
}

/** Messages as lines for people: time, author, text and, for one's own, what became of it. */
export function messageLines(messages: readonly MessageView[], now: Date): string[] {
  const heads = table(
    messages.map((message) => [friendlyTime(message.sentAt, now), authorOf(message), '|']),
  ).map((head) => head.slice(0, -1));
  const lines: string[] = [];
  for (const [index, message] of messages.entries()) {
    if (message.missing > 0) {
      lines.push(
        `-- ${count(message.missing, 'message')} from ${authorOf(message)} before this not arrived --`,
      );
    }
    const head = heads[index] ?? '';
    const state = isOwn(message) ? `  (${describeState(message.state, message.failure)})` : '';
    lines.push(head + safeText(message.text, ' '.repeat(Array.from(head).length)) + state);
  }
  return lines;
}
