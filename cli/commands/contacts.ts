import type { CommandContext } from '../command.ts';
import { count, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { describeKey, personRow } from '../people.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan contacts`: the friends list. */
export async function run({ client, json, print, note }: CommandContext): Promise<number> {
  const answer = await client.call('contacts', {});
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  const now = new Date();
  const rows = answer.contacts.map((contact) => [
    ...personRow(contact, now),
    describeKey(contact),
    contact.waiting ? 'has not accepted you yet' : '',
    contact.unread === 0 ? '' : count(contact.unread, 'unread message'),
  ]);
  for (const line of table(rows)) print(line);
  if (rows.length === 0) note('No friends yet: tincan add NAME|PEERID|INVITE');
  return EXIT.ok;
}
