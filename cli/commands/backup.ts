import { existsSync } from 'node:fs';
import { parse } from 'smol-toml';
import type { OperationArguments } from '../../protocols/control/contract.ts';
import { DaemonUnreachableError } from '../../protocols/control/exchange.ts';
import { expandPath, resolveConfiguration } from '../configuration.ts';
import { findDaemon } from '../daemon-address.ts';
import { CommandError, describeError, EXIT, exitCodeOf } from '../exit-code.ts';
import { isLocked } from '../lock-state.ts';
import { askNew, askPassphrase, backupPassphrase, passphraseInit } from '../passphrase.ts';
import { backUpStopped } from '../programs.ts';
import type { BackupMade } from '../programs.ts';
import type { SettingValue } from '../settings.ts';
import { stopSignal } from '../stop-signal.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

export interface BackupFlags {
  force?: boolean;
  passphraseFile?: string;
}

/** `tincan backup FILE`: by the daemon if one runs on the data directory, else from the data directory itself. */
export async function run(
  path: string,
  flags: Map<string, SettingValue>,
  { force = false, passphraseFile }: BackupFlags,
  { json }: { json: boolean },
): Promise<number> {
  const signal = stopSignal();
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  try {
    const configuration = resolveConfiguration({
      program: 'daemon',
      flags,
      env: process.env,
      parseToml: parse,
    });
    const file = expandPath(path);
    if (!force && existsSync(file))
      throw new CommandError(`${file} is there already; --force replaces a backup`, EXIT.failed);
    const runs = await doesRun(configuration.dataDir, signal);
    const ofBackup = (): Promise<string> =>
      backupPassphrase(passphraseFile, (terminal) =>
        askNew(terminal, { note, signal }, 'New passphrase, for the backup: '),
      );
    const made = runs
      ? await byDaemon(configuration.dataDir, { file, force, passphrase: await ofBackup() }, signal)
      : await backUpStopped(
          configuration.dataDir,
          { file, force },
          {
            ofBackup,
            ofDataDir: (state) => askPassphrase(state, passphraseInit(configuration, { signal })),
          },
          { signal },
        );
    process.stdout.write(json ? `${safeJson(made)}\n` : text(made));
    return EXIT.ok;
  } catch (error) {
    note(`tincan backup: ${describeError(error)}`);
    return exitCodeOf(error);
  }
}

/** @throws CommandError, ControlError when a daemon runs and is locked */
async function doesRun(dataDir: string, signal: AbortSignal): Promise<boolean> {
  try {
    const client = findDaemon(dataDir);
    try {
      // In place of a refusal after the passphrase was typed twice.
      if (!(await isLocked(client, signal))) return true;
      throw new CommandError('the daemon is locked\nunlock it with: tincan unlock', EXIT.failed);
    } finally {
      client.close();
    }
  } catch (error) {
    if (error instanceof DaemonUnreachableError) return false;
    throw error;
  }
}

async function byDaemon(
  dataDir: string,
  request: OperationArguments<'backup'>,
  signal: AbortSignal,
): Promise<BackupMade> {
  const client = findDaemon(dataDir);
  try {
    return await client.call('backup', request, { signal });
  } finally {
    client.close();
  }
}

function text({ file, peerId, bytes }: BackupMade): string {
  return [
    `${safeLine(file)} has all of ${peerId}: identity, contacts and messages, ${size(bytes)}.`,
    'It opens with its own passphrase alone: tincan restore FILE. Who has both can pass for you.',
    '',
  ].join('\n');
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
