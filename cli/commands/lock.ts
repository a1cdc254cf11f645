import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { untilLocked } from '../lock-state.ts';
import { stopSignal } from '../stop-signal.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan lock`: the daemon stays, and forgets its keys. */
export async function run({ client, dataDir, json, print }: CommandContext): Promise<number> {
  const answer = await client.call('lock', {});
  await untilLocked(dataDir, true, stopSignal());
  print(json ? safeJson(answer) : 'Locked. Nobody reaches you until: tincan unlock');
  return EXIT.ok;
}
