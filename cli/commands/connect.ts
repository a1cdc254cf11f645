import type { CommandContext } from '../command.ts';
import { displayName } from '../display.ts';
import { EXIT } from '../exit-code.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan connect NAME`: connects now, and says how. */
export async function run(
  { client, json, print }: CommandContext,
  args: readonly string[],
  { timeout }: { timeout: number },
): Promise<number> {
  const peer = await client.call('connect', { who: args[0]!, timeoutMs: timeout });
  if (json) print(safeJson(peer));
  else {
    const how = peer.connected === 'relayed' ? 'by relay' : 'directly';
    print(
      `Connected to ${displayName(peer)} ${how}, ${peer.rttMs.toFixed(1)} ms there and back: ${safeLine(peer.multiaddr)}`,
    );
  }
  return EXIT.ok;
}
