import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan unblock WHO`: takes messages of somebody again whom the user has blocked. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const unblocked = await client.call('unblock', { who: args[0]! });
  print(json ? safeJson(unblocked) : `${safeLine(args[0]!)} is not blocked any more.`);
  return EXIT.ok;
}
