import type { OperationResult } from '../../protocols/control/contract.ts';
import type { CommandContext } from '../command.ts';
import { count, displayName, friendlyTime, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { isOwn, messageFields } from '../message-lines.ts';
import { excerpt, safeJson, safeLine } from '../terminal-text.ts';

type FoundMessage = OperationResult<'search'>['messages'][number];

/** What is printed of a text: the place that was found, with as much before it as tells what it is about. */
const EXCERPT_CHARS = 120;
const LEAD_CHARS = 40;

/** `tincan search WORDS`: what has all of the words, the newest first. */
export async function run(
  { client, json, print, note }: CommandContext,
  args: readonly string[],
  { with: who, limit, cursor }: { with?: string; limit: number; cursor?: string },
): Promise<number> {
  const { messages, next, notIndexed } = await client.call('search', {
    q: args.join(' '),
    who,
    limit,
    cursor,
  });
  for (const line of json ? messages.map(foundJson) : foundLines(messages, new Date())) print(line);
  if (notIndexed > 0) {
    note(`${count(notIndexed, 'message')} not looked through yet: the daemon has just started. Ask again.`);
  }
  if (json) return EXIT.ok;
  if (messages.length === 0) note('Nothing found.');
  if (next !== null) note(`More: the same with --cursor ${safeLine(next)}`);
  return EXIT.ok;
}

function foundJson(message: FoundMessage): string {
  return safeJson({ ...messageFields(message), matches: message.matches });
}

/** What was found as lines for people: time, author, and the place in the text. */
export function foundLines(messages: readonly FoundMessage[], now: Date): string[] {
  return table(
    messages.map((message) => [
      friendlyTime(message.sentAt, now),
      authorAndAddressee(message),
      foundIn(message),
    ]),
  );
}

function authorAndAddressee(message: FoundMessage): string {
  const { from, fromName, to, toName } = message;
  return isOwn(message)
    ? `you to ${displayName({ peerId: to, name: toName })}`
    : displayName({ peerId: from, name: fromName });
}

function foundIn({ text, matches }: FoundMessage): string {
  const start = matches[0]?.start ?? 0;
  const before = Array.from(text.slice(0, start));
  const lead = before.length > LEAD_CHARS ? ['…', ...before.slice(-LEAD_CHARS)] : before;
  return `| ${excerpt(lead.join('') + text.slice(start), EXCERPT_CHARS)}`;
}
