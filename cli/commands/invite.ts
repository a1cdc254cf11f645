import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan invite`: an invite as text and, on a terminal, as a QR code. */
export async function run({ client, json, print }: CommandContext): Promise<number> {
  const answer = await client.call('invite', {});
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  if (process.stdout.isTTY) {
    const { renderUnicodeCompact } = await import('uqr');
    print(renderUnicodeCompact(answer.invite));
  }
  print(answer.invite);
  if (process.stdout.isTTY) print('\nYour friend types: tincan add INVITE');
  return EXIT.ok;
}
