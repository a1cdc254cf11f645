import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan unblock WHO`: takes messages of somebody again. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const unblocked = await client.call('unblock', { who: args[0]! });
  print(json ? safeJson(unblocked) : `${safeLine(unblocked.peerId)} is blocked no more.`);
  return EXIT.ok;
}
