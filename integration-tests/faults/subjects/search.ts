import { openMessageIndex } from '../../../node/search/message-index.ts';
import { MAX_WORDS } from '../../../node/search/search.ts';
import { matchesIn, wordsOf } from '../../../node/search/words.ts';
import { MAX_QUERY_CHARS } from '../../../protocols/control/routes.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import type { Subject } from '../subject.ts';

/** In these, what is a word to SQLite is one to us: later versions of Unicode have more letters. */
const PLAIN = /^[\0-\x7f]*$/;

/** Messages before the index is made anew. */
const ROWS = 1_000;

let index = openMessageIndex();
let row = 0;

export const subject: Subject = {
  name: 'search',
  decoders: [
    {
      name: 'text that is indexed and searched for',
      decode(input) {
        const text = textFrom(input);
        if (++row % ROWS === 0) {
          index[Symbol.dispose]();
          index = openMessageIndex();
        }
        index.add([{ row, peer: 'somebody', text }]);
        // What is left of a word that was cut may be a letter, and that finds only itself.
        const query = text.slice(0, MAX_QUERY_CHARS).replace(text.length > MAX_QUERY_CHARS ? /\S*$/ : '', '');
        const words = wordsOf(query).slice(0, MAX_WORDS);
        const [found] = index.find({ words, limit: 1 });
        if (PLAIN.test(text) && words.length > 0 && found !== row)
          throw new TypeError('a text is not found by the words that it begins with');
        const matches = matchesIn(text, words);
        for (const [at, { start, end }] of matches.entries()) {
          if (start < (matches[at - 1]?.end ?? 0) || end <= start || end > text.length)
            throw new TypeError('a match is not in the text, or overlaps another');
        }
        return matches;
      },
      refusals: [],
      // Of writing in which each character counts as a word, there is something to be noted about each.
      allocatedPerByte: 2_048,
      samples: () =>
        [
          "the swan doesn't fly at night",
          'a "b" OR c* NEAR(d e, 2) {text} : f ^g -h + i',
          'Cafe\u0301 \u00dcn\u00efcode \u0416\u0443\u043a',
          '\u6771\u4eac\u306b\u884c\u304f \u0e44\u0e17\u0e22 \ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940',
          '\u{1f469}\u200d\u{1f680}\u2764\ufe0f party\u{1f389}time',
          'x\0y\u00a0z\ufdfa',
        ].map((text) => new Uint8Array(Buffer.from(text))),
    },
  ],
};
