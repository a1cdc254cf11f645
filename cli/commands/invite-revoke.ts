import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan invite revoke ID`: takes an invite back. */
export async function run({ client, json, print }: CommandContext, args: readonly string[]): Promise<number> {
  const revoked = await client.call('revokeInvite', { id: args[0]! });
  print(json ? safeJson(revoked) : `Invite ${revoked.id} is void; who comes with it has to ask like others.`);
  return EXIT.ok;
}
