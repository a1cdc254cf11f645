import type { CommandContext } from '../command.ts';
import { displayName } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan remove NAME`: removes a friend. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const contact = await client.call('removeContact', { who: args[0]! });
  print(json ? safeJson(contact) : `${displayName(contact)} is removed; what was written stays.`);
  return EXIT.ok;
}
