import { excerpt, safeJson, safeLine, safeText } from '../../../cli/terminal-text.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import type { Subject } from '../subject.ts';

/** What can move a cursor, hide text or turn its direction. A line break is allowed where there may be several lines. */
const UNSAFE_LINE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u202a-\u202e\u2066-\u2069]/u;
const UNSAFE_TEXT = /[^\P{Cc}\n]|[\p{Zl}\p{Zp}\p{Cs}\u061c\u202a-\u202e\u2066-\u2069]/u;

export const subject: Subject = {
  name: 'terminal',
  decoders: [
    {
      name: 'text for a terminal',
      decode(input) {
        const text = textFrom(input);
        const shown = [safeLine(text), excerpt(text, 20), safeText(text, '  ')] as const;
        if (UNSAFE_LINE.test(shown[0]) || UNSAFE_LINE.test(shown[1]) || UNSAFE_TEXT.test(shown[2]))
          throw new TypeError('it would reach the terminal as it is');
        const line = safeJson({ text });
        if (/\p{Cc}/u.test(line) || (JSON.parse(line) as { text: string }).text !== text)
          throw new TypeError('the line of JSON is unsafe, or says something else');
        return shown;
      },
      refusals: [],
      samples: () =>
        [
          'hello',
          'a\u001b[2Jb',
          'line\r\nline\u2028line\t',
          '\u202eevil\u2069',
          '\u{1f469}\u200d\u{1f680}',
        ].map((text) => new Uint8Array(Buffer.from(text))),
    },
  ],
};
