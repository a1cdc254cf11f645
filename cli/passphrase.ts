import { readFileSync } from 'node:fs';
import { expandPath } from './configuration.ts';
import type { Configuration } from './configuration.ts';
import { CommandError, EXIT } from './exit-code.ts';
import { readHidden } from './hidden-input.ts';
import type { HiddenInput } from './hidden-input.ts';

/** Whether a data directory has a key, and whether a passphrase opens it. */
export type KeyState = 'absent' | 'bare' | 'wrapped';

/** Longer is not a passphrase, but a file given by mistake. */
const MAX_FILE_BYTES = 4096;

/** How often somebody is asked for a new passphrase: two that differ count, and one that is too short or too long. */
const TRIES = 3;

/** As where keys are wrapped, which refuses others, too: there it is too late to ask again (node/at-rest/data-key.ts). */
const MIN_CHARACTERS = 8;
const MAX_BYTES = 1024;

export const PASSPHRASE_WAYS = `give it on a terminal, or with --passphrase-file FILE, or in TINCAN_PASSPHRASE`;

const NO_PASSPHRASE_MEANS =
  'no passphrase: whoever gets hold of this disk, or of a backup of it, can read your messages and pass for you; ' +
  'tincan passphrase change sets one';

const NEW_PASSPHRASE_MEANS =
  `Choose a passphrase, of ${MIN_CHARACTERS} characters or more: it protects your key and your messages on this disk. Who forgets it has lost ` +
  'them. To do without: --no-passphrase';

/** Where passphrases come from. */
export interface PassphraseInit {
  /** A file that has it. */
  file: string | null;
  /** The value of the environment variable that has it. */
  variable: string | undefined;
  /** Whether the user has said that there shall be none. */
  none: boolean;
  /** Undefined where nobody can be asked. */
  terminal: HiddenInput | undefined;
  note: (line: string) => void;
  signal: AbortSignal;
}

/** The terminal that the command runs on, if there is somebody at it. */
export function ownTerminal(): HiddenInput | undefined {
  return process.stdin.isTTY && process.stderr.isTTY
    ? { input: process.stdin, output: process.stderr }
    : undefined;
}

/** Where the passphrase of a configured program comes from. */
export function passphraseInit(
  { settings }: Pick<Configuration, 'settings'>,
  { signal }: { signal: AbortSignal },
): PassphraseInit {
  const valueOf = (key: string): unknown => settings.find(({ setting }) => setting.key === key)?.value;
  return {
    file: (valueOf('passphrase_file') as string | null | undefined) ?? null,
    variable: process.env['TINCAN_PASSPHRASE'],
    none: valueOf('passphrase') === false,
    terminal: ownTerminal(),
    note: (line) => void process.stderr.write(`${line}\n`),
    signal,
  };
}

/**
 * The passphrase for a data key that there is, or is to be made; null for none.
 *
 * @throws CommandError when there is no way to get it, or the user wants another protection than there is
 */
export async function askPassphrase(state: KeyState, init: PassphraseInit): Promise<string | null> {
  const { file, none, terminal, note } = init;
  const given = file !== null ? passphraseIn(file) : none ? undefined : nonEmpty(init.variable);
  switch (state) {
    case 'bare':
      if (given === undefined) return null;
      throw refusal(
        'a passphrase was given, but none protects this data directory; set one with: tincan passphrase change',
      );
    case 'wrapped':
      if (given !== undefined) return given;
      if (none)
        throw refusal(
          'a passphrase protects this data directory; do away with it with: tincan passphrase change --no-passphrase',
        );
      if (terminal !== undefined) return readHidden('Passphrase: ', terminal, init);
      throw refusal(`a passphrase is needed: ${PASSPHRASE_WAYS}`);
    case 'absent':
      if (given !== undefined) return given;
      if (none) {
        note(NO_PASSPHRASE_MEANS);
        return null;
      }
      if (terminal !== undefined) {
        note(NEW_PASSPHRASE_MEANS);
        return askNew(terminal, init);
      }
      throw refusal(
        `a passphrase is needed, to protect what is on this disk: ${PASSPHRASE_WAYS}; or say --no-passphrase, if whoever gets hold of the disk may read it all`,
      );
  }
}

/**
 * Asks for a new passphrase, twice, and again where it can be none.
 *
 * @throws CommandError when none was chosen after three tries, or the user has ended it
 */
export async function askNew(
  terminal: HiddenInput,
  { note, signal }: Pick<PassphraseInit, 'note' | 'signal'>,
  question = 'New passphrase: ',
): Promise<string> {
  for (let left = TRIES; left > 0; left--) {
    const first = await readHidden(question, terminal, { signal });
    const why = whyUnusable(first);
    if (why !== undefined) {
      note(why);
      continue;
    }
    if (first === (await readHidden('The same again: ', terminal, { signal }))) return first;
    note('These were two different ones.');
  }
  throw refusal('no passphrase was chosen');
}

/** Why a text can be no new passphrase; undefined when it can. */
function whyUnusable(passphrase: string): string | undefined {
  const characters = Array.from(passphrase).length;
  if (characters < MIN_CHARACTERS)
    return `A passphrase has ${MIN_CHARACTERS} characters or more; this one has ${characters}.`;
  if (Buffer.byteLength(passphrase.normalize('NFC')) > MAX_BYTES)
    return `A passphrase has at most ${MAX_BYTES} bytes.`;
  return undefined;
}

/**
 * The passphrase of a backup, which is never that of a data directory by mistake: it has a variable of its own.
 *
 * @param ask asks at a terminal
 * @throws CommandError when there is no way to get it
 */
export async function backupPassphrase(
  file: string | undefined,
  ask: (terminal: HiddenInput) => Promise<string>,
): Promise<string> {
  if (file !== undefined) return passphraseIn(file);
  const variable = nonEmpty(process.env['TINCAN_BACKUP_PASSPHRASE']);
  if (variable !== undefined) return variable;
  const terminal = ownTerminal();
  if (terminal !== undefined) return ask(terminal);
  throw refusal(
    `a passphrase for the backup is needed: ${PASSPHRASE_WAYS.replace('TINCAN_PASSPHRASE', 'TINCAN_BACKUP_PASSPHRASE')}`,
  );
}

/**
 * The first line of a file.
 *
 * @throws CommandError
 */
export function passphraseIn(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(expandPath(file));
  } catch (error) {
    throw refusal(`the passphrase file can't be read: ${(error as Error).message}`);
  }
  const [line = ''] = bytes.toString().split(/\r?\n/, 1);
  if (line === '' || bytes.byteLength > MAX_FILE_BYTES)
    throw refusal(`${file} has no passphrase in its first line`);
  return line;
}

export function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function refusal(message: string): CommandError {
  return new CommandError(message, EXIT.failed);
}
