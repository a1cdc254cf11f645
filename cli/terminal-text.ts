/**
 * Remote text on its way to a terminal. Control characters could move the cursor, set the clipboard or pass for lines of
 * this program, and bidirectional overrides could show a name as another one: they are shown as what they are, `\x1b`.
 */

/**
 * C0 and C1 controls and DEL, line and paragraph separators, lone surrogates; the bidirectional embeddings, overrides
 * and isolates. Joiners stay: emoji and several scripts are written with them.
 */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u202a-\u202e\u2066-\u2069]/gu;

/** Text for one line: a name, an error, an address. */
export function safeLine(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** A message's text: line breaks stay and begin each further line with `indent`, tabs become blanks. */
export function safeText(text: string, indent = ''): string {
  return text
    .split(/\r\n|\n|\r|\u2028|\u2029/)
    .map((line) => safeLine(line.replaceAll('\t', '    ')))
    .join(`\n${indent}`);
}

/** The first `length` characters of a text, in one line. */
export function excerpt(text: string, length: number): string {
  const characters = Array.from(safeLine(text.replaceAll(/\s+/g, ' ')));
  return characters.length <= length ? characters.join('') : `${characters.slice(0, length - 1).join('')}…`;
}

/** A value as one line of JSON, in which DEL and the C1 controls are escaped too: it may end up on a terminal. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\p{Cc}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
