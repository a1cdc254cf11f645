import type { CommandContext } from '../command.ts';
import { count, friendlyTime, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan invites`: those that somebody can still come with. */
export async function run({ client, json, print, note }: CommandContext): Promise<number> {
  const answer = await client.call('invites', {});
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  const now = new Date();
  const rows = answer.invites.map(({ id, reusable, createdAt, expiresAt, uses }) => [
    String(id),
    `made ${friendlyTime(createdAt, now)}`,
    `good until ${friendlyTime(expiresAt, now)}`,
    reusable ? `for several, used ${count(uses, 'time')}` : 'for one',
  ]);
  for (const line of table(rows)) print(line);
  if (rows.length === 0) note('No invite is open: tincan invite');
  return EXIT.ok;
}
