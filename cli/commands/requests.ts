import type { CommandContext } from '../command.ts';
import { displayName, friendlyTime } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan requests`: strangers who want to write. */
export async function run({ client, json, print, note }: CommandContext): Promise<number> {
  const answer = await client.call('requests', {});
  if (json) {
    print(safeJson(answer));
    return EXIT.ok;
  }
  const now = new Date();
  for (const request of answer.requests) {
    const certified = request.name === null ? 'no name that a phonebook knows' : 'named by a phonebook';
    print(`${displayName(request)}  ${friendlyTime(request.receivedAt, now)}  (${certified})`);
    print(`  ${safeLine(request.peerId)}`);
    print(`  safety number ${request.safetyNumber}`);
    print(`  ${safeLine(request.text)}`);
  }
  if (answer.requests.length === 0) note('Nobody unknown has asked to write to you.');
  else note('tincan accept, tincan decline or tincan block, with the name or the end of the peer id');
  return EXIT.ok;
}
