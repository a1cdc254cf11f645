import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan decline WHO`: forgets what a stranger asked for. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const declined = await client.call('decline', { who: args[0]! });
  print(
    json
      ? safeJson(declined)
      : `Forgotten. ${safeLine(declined.peerId)} is not told, and can ask again after 30 days; "tincan block" is for good.`,
  );
  return EXIT.ok;
}
