import { run as runBot } from '../echo-bot.ts';
import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { stopSignal } from '../stop-signal.ts';

/** `tincan echo-bot`: answers every message with its own text. */
export async function run({ dataDir, json, print }: CommandContext): Promise<number> {
  const onReady = (): void => print(json ? '{"ready":true}' : 'The echo bot is up. Ctrl-C stops it.');
  await runBot({ dataDir, signal: stopSignal(), onReady });
  return EXIT.ok;
}
