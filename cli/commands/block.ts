import type { CommandContext } from '../command.ts';
import { displayName } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan block WHO`: takes nothing more of somebody. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const blocked = await client.call('block', { who: args[0]! });
  print(
    json
      ? safeJson(blocked)
      : `${displayName(blocked)} is blocked: nothing of theirs is taken, here or in your mailboxes. What was written stays.`,
  );
  return EXIT.ok;
}
