import { runChat } from '../chat.ts';
import type { CommandContext } from '../command.ts';
import { stopSignal } from '../stop-signal.ts';

/** `tincan chat [NAME]`: the chat in line mode. */
export async function run({ dataDir }: CommandContext, args: readonly string[]): Promise<number> {
  return runChat({ dataDir, who: args[0], signal: stopSignal() });
}
