import type { CommandContext } from '../command.ts';
import { friendlyTime } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

const DAY_MS = 24 * 3_600_000;

/** `tincan invite`: an invite as text and, on a terminal, as a QR code. */
export async function run(
  { client, json, print }: CommandContext,
  _: readonly string[],
  { reusable = false, days }: { reusable?: boolean; days: number },
): Promise<number> {
  const answer = await client.call('invite', { reusable, expiresInMs: days * DAY_MS });
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  if (process.stdout.isTTY) {
    const { renderUnicodeCompact } = await import('uqr');
    print(renderUnicodeCompact(answer.invite));
  }
  print(answer.invite);
  if (process.stdout.isTTY) {
    const whom = reusable ? 'Everybody who has it' : 'The first who has it';
    print(`\nYour friend types, with the quotes: tincan add 'INVITE'`);
    print(`${whom} is your friend with that, until ${friendlyTime(answer.expiresAt, new Date())}.`);
    print(`To take it back: tincan invite revoke ${answer.id}`);
  }
  return EXIT.ok;
}
