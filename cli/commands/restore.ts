import { parse } from 'smol-toml';
import { expandPath, resolveConfiguration } from '../configuration.ts';
import { friendlyTime } from '../display.ts';
import { describeError, EXIT, exitCodeOf } from '../exit-code.ts';
import { readHidden } from '../hidden-input.ts';
import { askPassphrase, backupPassphrase, passphraseInit } from '../passphrase.ts';
import { openBackup } from '../programs.ts';
import type { SettingValue } from '../settings.ts';
import { stopSignal } from '../stop-signal.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

/** `tincan restore FILE`: makes a data directory of a backup. */
export async function run(
  path: string,
  flags: Map<string, SettingValue>,
  { passphraseFile }: { passphraseFile?: string },
  { json }: { json: boolean },
): Promise<number> {
  const signal = stopSignal();
  try {
    const configuration = resolveConfiguration({
      program: 'daemon',
      flags,
      env: process.env,
      parseToml: parse,
    });
    const { dataDir } = configuration;
    const backup = await openBackup(expandPath(path), dataDir, () =>
      backupPassphrase(passphraseFile, (terminal) =>
        readHidden('Passphrase of the backup: ', terminal, { signal }),
      ),
    );
    try {
      const passphrase = await askPassphrase('absent', passphraseInit(configuration, { signal }));
      const { peerId, madeMs } = backup.restore(passphrase);
      const restored = { peerId, madeAt: new Date(madeMs).toISOString(), dataDir };
      process.stdout.write(json ? `${safeJson(restored)}\n` : text(restored));
    } finally {
      backup.close();
    }
    return EXIT.ok;
  } catch (error) {
    process.stderr.write(`tincan restore: ${describeError(error)}\n`);
    return (error as { code?: unknown }).code === 'not-found' ? EXIT.notFound : exitCodeOf(error);
  }
}

function text({ peerId, madeAt, dataDir }: { peerId: string; madeAt: string; dataDir: string }): string {
  return [
    `${safeLine(dataDir)} has all of ${safeLine(peerId)}, as it was at ${friendlyTime(madeAt, new Date())}.`,
    'The daemon that the backup was made of must not run any more: two with one identity lose messages.',
    `Start this one with: tincan daemon --data-dir ${safeLine(dataDir)}`,
    '',
  ].join('\n');
}
