import { clientDataDir } from '../daemon-address.ts';
import { CommandError, describeError, EXIT, exitCodeOf } from '../exit-code.ts';
import {
  askNew,
  askPassphrase,
  nonEmpty,
  ownTerminal,
  PASSPHRASE_WAYS,
  passphraseIn,
} from '../passphrase.ts';
import type { PassphraseInit } from '../passphrase.ts';
import { changePassphrase, keyStateOf } from '../programs.ts';
import { stopSignal } from '../stop-signal.ts';

export interface PassphraseFlags {
  /** False with `--no-passphrase`. */
  passphrase?: boolean;
  passphraseFile?: string;
  newPassphraseFile?: string;
}

/** `tincan passphrase change`: wraps the data key anew, whether the daemon runs or not. */
export async function run(dataDirFlag: string | undefined, flags: PassphraseFlags): Promise<number> {
  const dataDir = clientDataDir(dataDirFlag, process.env);
  const signal = stopSignal();
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  const terminal = ownTerminal();
  const init: PassphraseInit = {
    file: flags.passphraseFile ?? null,
    variable: process.env['TINCAN_PASSPHRASE'],
    none: false,
    terminal,
    note,
    signal,
  };
  try {
    const state = await keyStateOf(dataDir);
    if (state === 'absent')
      throw new CommandError(
        `there is no data key in ${dataDir} yet: the first start of its daemon makes one`,
        EXIT.failed,
      );
    const from = state === 'bare' ? null : await askPassphrase(state, init);
    await changePassphrase(dataDir, from, await newPassphrase(flags, init));
    const kept =
      flags.passphrase === false
        ? 'There is no passphrase any more: whoever gets hold of this disk can read your messages and pass for you.'
        : 'The passphrase is changed.';
    note(`${kept} Backups of data.key open as they did before: remove them.`);
    return EXIT.ok;
  } catch (error) {
    note(`tincan passphrase: ${describeError(error)}`);
    return exitCodeOf(error);
  }
}

async function newPassphrase(
  { passphrase, newPassphraseFile }: PassphraseFlags,
  init: PassphraseInit,
): Promise<string | null> {
  if (passphrase === false) return null;
  if (newPassphraseFile !== undefined) return passphraseIn(newPassphraseFile);
  const variable = nonEmpty(process.env['TINCAN_NEW_PASSPHRASE']);
  if (variable !== undefined) return variable;
  if (init.terminal !== undefined) return askNew(init.terminal, init);
  throw new CommandError(
    `a new passphrase is needed: ${PASSPHRASE_WAYS.replace('--passphrase-file', '--new-passphrase-file').replace('TINCAN_PASSPHRASE', 'TINCAN_NEW_PASSPHRASE')}`,
    EXIT.failed,
  );
}
