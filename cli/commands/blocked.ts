import type { CommandContext } from '../command.ts';
import { displayName, friendlyTime, table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan blocked`: whom nothing is taken of. */
export async function run({ client, json, print, note }: CommandContext): Promise<number> {
  const answer = await client.call('blocked', {});
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  const now = new Date();
  const rows = answer.blocked.map((peer) => [
    displayName(peer),
    `since ${friendlyTime(peer.since, now)}`,
    safeLine(peer.peerId),
  ]);
  for (const line of table(rows)) print(line);
  if (rows.length === 0) note('Nobody is blocked.');
  return EXIT.ok;
}
