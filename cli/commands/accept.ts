import type { CommandContext } from '../command.ts';
import { displayName } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan accept WHO`: makes a friend of a stranger who has asked. */
export async function run(
  { client, json, print }: CommandContext,
  args: readonly string[],
  { as: petname }: { as?: string },
): Promise<number> {
  const contact = await client.call('accept', {
    who: args[0]!,
    ...(petname === undefined ? undefined : { petname }),
  });
  print(json ? safeJson(contact) : `${displayName(contact)} is a friend: ${safeLine(contact.peerId)}`);
  return EXIT.ok;
}
