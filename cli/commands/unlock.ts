import type { CommandContext } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { isLocked, untilLocked } from '../lock-state.ts';
import { askPassphrase, ownTerminal } from '../passphrase.ts';
import { stopSignal } from '../stop-signal.ts';
import { safeJson } from '../terminal-text.ts';

/** `tincan unlock`: gives a locked daemon the passphrase, and waits until it is back. */
export async function run(
  { client, dataDir, json, print, note }: CommandContext,
  _args: readonly string[],
  { passphraseFile }: { passphraseFile?: string },
): Promise<number> {
  const signal = stopSignal();
  if (await isLocked(client, signal)) {
    const passphrase = await askPassphrase('wrapped', {
      file: passphraseFile ?? null,
      variable: process.env['TINCAN_PASSPHRASE'],
      none: false,
      terminal: ownTerminal(),
      note,
      signal,
    });
    await client.call('unlock', { passphrase: passphrase! }, { signal });
    await untilLocked(dataDir, false, signal);
  }
  print(json ? safeJson({ locked: false }) : 'Unlocked.');
  return EXIT.ok;
}
