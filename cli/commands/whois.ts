import type { CommandContext } from '../command.ts';
import { friendlyTime, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { describeKey, describePresence } from '../people.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan whois NAME`: looks somebody up. */
export async function run(
  { client, json, print, note }: CommandContext,
  args: readonly string[],
): Promise<number> {
  const found = await client.call('whois', { who: args[0]! });
  if (json) {
    print(safeJson(found));
    return EXIT.ok;
  }
  const now = new Date();
  const { certificate } = found;
  const rows = [
    ['peer id', safeLine(found.peerId)],
    ...(found.name === null ? [] : [['name', safeLine(found.name)]]),
    ...(found.petname === null ? [] : [['petname', safeLine(found.petname)]]),
    ['presence', describePresence(found, now)],
    ['key', describeKey(found)],
    ...(found.waiting ? [['waiting', 'has not accepted you yet: your messages wait here']] : []),
    ['known from', found.source],
    ...(certificate === null
      ? []
      : [
          [
            'certificate',
            `by ${safeLine(certificate.phonebook)}, until ${friendlyTime(certificate.expiresAt, now)}`,
          ],
        ]),
    ...found.multiaddrs.map((address, index) => [index === 0 ? 'addresses' : '', safeLine(address)]),
    ...found.mailboxes.map((address, index) => [index === 0 ? 'mailboxes' : '', safeLine(address)]),
  ];
  for (const line of table(rows)) print(line);
  if (found.warning !== null) note(`! ${safeLine(found.warning)}`);
  return EXIT.ok;
}
