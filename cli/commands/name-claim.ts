import type { CommandContext } from '../command.ts';
import { count } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan name claim NAME`: claims a name at every phonebook in reach. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const identity = await client.call('claimName', { name: args[0]! });
  if (json) print(safeJson(identity));
  else {
    print(
      `You are ${safeLine(identity.name ?? args[0]!)} at ${count(identity.certificates.length, 'phonebook')}.`,
    );
  }
  return EXIT.ok;
}
