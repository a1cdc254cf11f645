import {
  formatSafetyCode,
  parseSafetyCode,
  safetyNumber,
} from '../../../protocols/contact-card/safety-number.ts';
import type { SafetyCode } from '../../../protocols/contact-card/safety-number.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import { ada, phonebook } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const PEERS = [ada.publicKey.toString(), phonebook.publicKey.toString()] as const;

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

export const subject: Subject = {
  name: 'safety-code',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'safety code',
      decode: (input) => parseSafetyCode(textFrom(input)),
      encode: (code: SafetyCode | { digits: string }) =>
        bytes('digits' in code ? code.digits : formatSafetyCode(code)),
      refusals: ['InvalidSafetyCodeError'],
      samples: () => [
        bytes(formatSafetyCode({ shownBy: PEERS[0], about: PEERS[1] })),
        bytes(formatSafetyCode({ shownBy: PEERS[1], about: PEERS[0] })),
        bytes(safetyNumber(...PEERS)),
      ],
    },
  ],
};
