import type { CommandContext } from '../command.ts';
import { table } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { personRow } from '../people.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan peers`: who the phonebooks list, and who else is known. */
export async function run(
  { client, json, print, note }: CommandContext,
  _: readonly string[],
  { online = false }: { online?: boolean },
): Promise<number> {
  const answer = await client.call('peers', { online: online ? 'true' : 'false' });
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  const now = new Date();
  for (const line of table(answer.peers.map((peer) => personRow(peer, now)))) print(line);
  if (answer.peers.length === 0) note(online ? 'Nobody is online.' : 'Nobody is listed.');
  for (const warning of answer.warnings) note(`! ${safeLine(warning)}`);
  return EXIT.ok;
}
