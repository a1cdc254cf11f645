/** The longest name, in code points: what fits beside a message on a narrow terminal. */
export const MAX_NAME_CODE_POINTS = 32;

export type InvalidNameReason =
  | 'empty'
  | 'too-long'
  | 'not-normalised'
  | 'invalid-character'
  | 'invalid-start'
  | 'mixed-scripts'
  | 'mixed-digits'
  | 'peer-id'
  | 'invite';

/** A name that can't be one. `message` says what is wrong with it, `hint` what to do. */
export class InvalidNameError extends Error {
  override name = 'InvalidNameError';
  readonly reason: InvalidNameReason;
  readonly hint: string;

  constructor(reason: InvalidNameReason, message: string, hint: string) {
    super(message);
    this.reason = reason;
    this.hint = hint;
  }
}

/** The scripts in everyday use: UAX #31, table 5, without Common and Inherited. */
const SCRIPTS = (
  'Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew ' +
  'Hiragana Kannada Katakana Khmer Lao Latin Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan'
).split(' ');

/** Writing systems that need several scripts: UTS #39, section 5.1. Latin is not mixed into them. */
const COMBINATIONS = [
  ['Han', 'Hiragana', 'Katakana'],
  ['Han', 'Hangul'],
  ['Han', 'Bopomofo'],
];

/** Letters, the marks that some scripts can't do without, and digits, of one script; nothing that is invisible. */
function scriptClass(script: string): string {
  return String.raw`[[\p{scx=${script}}&&[\p{L}\p{M}\p{Nd}]]--\p{Default_Ignorable_Code_Point}]`;
}

const PER_SCRIPT = SCRIPTS.map((script) => ({
  script,
  pattern: new RegExp(`^${scriptClass(script)}$`, 'v'),
}));

/** What goes with any script. Marks of no script of their own, as the acute accent, are Inherited. */
const SHARED = String.raw`[[0-9._\-][[\p{scx=Inherited}&&\p{M}]--\p{Default_Ignorable_Code_Point}]]`;

const SHARED_PATTERN = new RegExp(`^${SHARED}$`, 'v');

const ALLOWED = new RegExp(`^[${SHARED}${SCRIPTS.map(scriptClass).join('')}]$`, 'v');

/**
 * One class for all that a name in these scripts may hold. Alternatives in its place would be tried in every combination
 * when a name does not fit: some characters belong to several scripts, and 30 of them would keep a phonebook busy for days.
 */
const ONE_SCRIPT = [...SCRIPTS.map((script) => [script]), ...COMBINATIONS].map(
  (scripts) => new RegExp(`^[${SHARED}${scripts.map(scriptClass).join('')}]*$`, 'v'),
);

/** How peer ids begin: Ed25519 and secp256k1 in base58, CIDs in base32 and base36; and RSA ones, whole or cut short. */
const PEER_ID = /^(?:12d3koow|16uiu2ha|bafzaa|bafzbe|k51qzi5uqu5|k2k4r8|qm(?=.*\d)[1-9a-hj-z]{6,}$)/i;

/** UTS #39, section 5.4: stacked marks, with which one name can be made to look like another, or like noise. */
const STACKED_MARKS = /(\p{Mn})\1|\p{Mn}{5}/u;

/** One character at a time: that keeps the context rules of sigma out. */
function lowerCase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

/**
 * Case folding. Going through upper case also joins ß with ss and both forms of sigma; ẞ has to come down to ß first. A dot
 * above an i, as in İ folded, can't be seen, so it goes.
 */
function fold(text: string): string {
  return lowerCase(lowerCase(text).toUpperCase())
    .normalize('NFKC')
    .replaceAll(/(\p{Soft_Dotted})\u0307+/gu, '$1')
    .normalize('NFKC');
}

/** The zero of a digit's own set: the ten digits of a set stand in a row. */
function zeroOf(digit: string): number {
  let codePoint = digit.codePointAt(0)!;
  while (/\p{Nd}/u.test(String.fromCodePoint(codePoint - 1))) codePoint--;
  return codePoint;
}

function codePointName(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
}

function mixedScripts(name: string): InvalidNameError {
  const found = new Map<string, string>();
  for (const character of name) {
    if (SHARED_PATTERN.test(character)) continue;
    const script = PER_SCRIPT.find(({ pattern }) => pattern.test(character))!.script;
    if (!found.has(script)) found.set(script, character);
  }
  const list = Array.from(
    found,
    ([script, character]) => `${script} ("${character}", ${codePointName(character)})`,
  );
  return new InvalidNameError(
    'mixed-scripts',
    `the name mixes scripts: ${list.join(' and ')}`,
    'use letters of one script: letters that look alike would make two names look the same',
  );
}

/**
 * The form a name is stored, signed and compared in: case-folded. Names are equal when their normalised forms are.
 * A normalised name is its own normalised form. See README.md, "Names".
 *
 * @throws InvalidNameError
 */
export function normaliseName(input: string): string {
  if (input === '')
    throw new InvalidNameError('empty', 'the name is empty', 'give at least one letter or digit');
  if (/^tincan:/i.test(input)) {
    throw new InvalidNameError(
      'invite',
      'this is an invite, not a name',
      'use it where an invite is asked for',
    );
  }
  if (PEER_ID.test(input)) {
    throw new InvalidNameError(
      'peer-id',
      'the name looks like a peer id',
      'choose another; a peer id is used as it is, without claiming it',
    );
  }
  if (!input.isWellFormed()) {
    throw new InvalidNameError('invalid-character', 'the name is not valid Unicode', 'type it anew');
  }
  // Before any work that grows with the input.
  if (input.length > 4 * MAX_NAME_CODE_POINTS) throw tooLong();
  const normalised = input.normalize('NFKC');
  if (normalised !== input) {
    throw new InvalidNameError(
      'not-normalised',
      'the name is not in Unicode normalisation form NFKC',
      `its normalised form would be "${normalised}"`,
    );
  }
  const name = fold(input);
  if (Array.from(name).length > MAX_NAME_CODE_POINTS) throw tooLong();
  for (const character of name) {
    if (!ALLOWED.test(character)) {
      throw new InvalidNameError(
        'invalid-character',
        `the name contains ${codePointName(character)}, which names may not`,
        'use letters, digits, ".", "-" and "_"',
      );
    }
  }
  if (!/^[\p{L}\p{Nd}]/u.test(name)) {
    throw new InvalidNameError(
      'invalid-start',
      'the name begins with a sign',
      'begin it with a letter or a digit',
    );
  }
  if (STACKED_MARKS.test(name)) {
    throw new InvalidNameError('invalid-character', 'the name stacks marks on a letter', 'leave them out');
  }
  if (!ONE_SCRIPT.some((pattern) => pattern.test(name))) throw mixedScripts(name);
  const digits = name.match(/\p{Nd}/gu) ?? [];
  if (new Set(digits.map(zeroOf)).size > 1) {
    throw new InvalidNameError(
      'mixed-digits',
      `the name mixes kinds of digits: ${digits.join(' ')}`,
      'use digits of one kind',
    );
  }
  return name;
}

function tooLong(): InvalidNameError {
  return new InvalidNameError(
    'too-long',
    `the name has over ${MAX_NAME_CODE_POINTS} characters`,
    `use at most ${MAX_NAME_CODE_POINTS}`,
  );
}
