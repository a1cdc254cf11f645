/**
 * How texts are cut into words that can be found. SQLite does the cutting (`unicode61`, remove_diacritics 2: capitals and
 * accents make no difference); what it can't cut is set apart here before it sees it, in texts and in queries alike.
 */

/** A word of a query has at least one of these; what else there is separates words. */
const IN_WORDS = String.raw`\p{L}\p{N}\p{M}\p{Co}`;

/**
 * Writing that puts no spaces between words, and pictures: each character counts as a word of its own, and what stands
 * together in a query has to stand together in the text. That finds any part of such a text, with one table and one way to search.
 */
const ALONE = String.raw`[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{So}]`;

const ALONE_EACH = new RegExp(ALONE, 'gv');
const WORDS = new RegExp(`${ALONE}|[[${IN_WORDS}]--${ALONE}]+`, 'gv');
const HAS_WORD = new RegExp(`[${IN_WORDS}]|${ALONE}`, 'v');

/** Categories of the characters of a word, as SQLite's tokenizer takes them: with the vowel signs of Indic writing, and pictures. */
export const TOKEN_CATEGORIES = 'L* N* Co Mn Mc So';

/** Nearly all that is written in Latin letters needs no other look. */
const PLAIN = /^[\0-\x7f]*$/;

/** Accents, as they stand after decomposition: what SQLite takes away. */
const ACCENTS = /[\u0300-\u036f]/g;

/** What half of all messages have a word that begins with: who looks for a single letter means just that. */
const ONE_LETTER = /^[a-z\d]$/i;

/** Ranges shown of one message: of a text that is one word over and over, the rest is left out. */
const MAX_RANGES = 100;

/** A text as the index gets it, and what is looked for in it. */
export function forIndex(text: string): string {
  if (PLAIN.test(text)) return text;
  return text.normalize('NFKC').replace(ALONE_EACH, ' $& ');
}

/** The words of a query: what stands between spaces, as far as there is something in it to look for. */
export function wordsOf(query: string): string[] {
  return query.split(/\s+/u).filter((word) => HAS_WORD.test(word));
}

/** Whether a word of a query finds the words that begin with it, too. */
export function isBeginning(word: string): boolean {
  return !ONE_LETTER.test(word);
}

/** Where something stands in a text: UTF-16 code units from its beginning, the second one not included. */
export interface TextRange {
  start: number;
  end: number;
}

interface Token extends TextRange {
  folded: string;
}

function tokensOf(text: string): Token[] {
  return Array.from(text.matchAll(WORDS), ({ 0: word, index }) => ({
    folded: PLAIN.test(word)
      ? word.toLowerCase()
      : word.normalize('NFKD').replace(ACCENTS, '').toLowerCase().normalize('NFC'),
    start: index,
    end: index + word.length,
  }));
}

/**
 * Where the words of a query stand in a text that was found with them: whole words, in their order, also those of which
 * the query has the beginning. At most the first 100.
 *
 * @param words as `wordsOf` gives them
 */
export function matchesIn(text: string, words: readonly string[]): TextRange[] {
  const tokens = tokensOf(text);
  const wanted = words.map((word) => ({
    phrase: tokensOf(word).map(({ folded }) => folded),
    isBeginning: isBeginning(word),
  }));
  const ranges: TextRange[] = [];
  for (let at = 0; at < tokens.length && ranges.length < MAX_RANGES; at++) {
    const lengths = wanted.map((word) => (standsAt(tokens, at, word) ? word.phrase.length : 0));
    const longest = Math.max(0, ...lengths);
    if (longest === 0) continue;
    ranges.push({ start: tokens[at]!.start, end: tokens[at + longest - 1]!.end });
    at += longest - 1;
  }
  return ranges;
}

/** Whether words stand in a row from here on, the last one perhaps with its beginning alone. */
function standsAt(
  tokens: readonly Token[],
  at: number,
  { phrase, isBeginning }: { phrase: readonly string[]; isBeginning: boolean },
): boolean {
  return phrase.every((word, index) => {
    const folded = tokens[at + index]?.folded;
    return isBeginning && index === phrase.length - 1 ? folded?.startsWith(word) === true : folded === word;
  });
}
