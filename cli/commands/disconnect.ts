import type { CommandContext } from '../command.ts';
import { displayName } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan disconnect NAME`: closes the connection. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const peer = await client.call('disconnect', { who: args[0]! });
  print(json ? safeJson(peer) : `Disconnected from ${displayName(peer)}.`);
  return EXIT.ok;
}
