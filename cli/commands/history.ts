import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { messageJson, messageLines } from '../message-lines.ts';
import { safeLine } from '../terminal-text.ts';

/** `tincan history NAME`: one page of a conversation, in reading order. */
export async function run(
  { client, json, print, note }: CommandContext,
  args: readonly string[],
  { limit, before }: { limit: number; before?: string },
): Promise<number> {
  const who = args[0]!;
  const { messages, next } = await client.call('history', { who, limit, before });
  for (const line of json ? messages.map(messageJson) : messageLines(messages, new Date())) print(line);
  if (next !== null && !json) note(`Older ones: tincan history ${safeLine(who)} --before ${next}`);
  return EXIT.ok;
}
