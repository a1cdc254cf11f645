import type { CommandContext } from '../command.ts';
import { friendlyTime, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan id`: who this daemon is. */
export async function run({ client, json, print }: CommandContext): Promise<number> {
  const identity = await client.call('identity', {});
  if (json) {
    print(safeJson(identity));
    return EXIT.ok;
  }
  const now = new Date();
  const rows = [
    ['peer id', identity.peerId],
    ['name', identity.name === null ? 'none yet: tincan name claim NAME' : safeLine(identity.name)],
    ...identity.certificates.map(({ phonebook, expiresAt }) => [
      '',
      `at ${safeLine(phonebook)} until ${friendlyTime(expiresAt, now)}`,
    ]),
    ...identity.multiaddrs.map((address, index) => [index === 0 ? 'addresses' : '', safeLine(address)]),
  ];
  for (const line of table(rows)) print(line);
  return EXIT.ok;
}
