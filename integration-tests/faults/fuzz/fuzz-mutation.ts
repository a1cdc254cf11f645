import fc from 'fast-check';
import { randomFrom } from '../../harness/random.ts';
import { changeField, EDGES, varint } from './fuzz-fields.ts';
import { SMALL_ORDER_POINTS } from './fuzz-points.ts';

/** One change to an input: which, and three numbers that say where and how. */
type Step = readonly [kind: number, where: number, what: number, how: number];

/** How an input is made of samples. Shrinks to fewer steps and smaller numbers, and so does the input. */
export interface Recipe {
  sample: number;
  steps: readonly Step[];
}

/** No decoder takes more than half a megabyte; beyond this, inputs only cost time. */
const MAX_INPUT_BYTES = 600 * 1024;

/** An input is rarely made longer than this. */
const USUAL_BYTES = 8 * 1024;

const number = fc.integer({ min: 0, max: 0xff_ffff });

export const recipes: fc.Arbitrary<Recipe> = fc.record({
  sample: fc.nat(0xffff),
  steps: fc.array(fc.tuple(fc.nat(255), number, number, number), {
    minLength: 1,
    maxLength: 6,
    size: 'max',
  }),
});

/** What breaks readers of text, protobuf and multiaddrs when it stands where it should not. */
const TOKENS: readonly Uint8Array[] = [
  // Half a surrogate pair, in the way that `textFrom` reads it.
  Uint8Array.of(0xed, 0xa0, 0x80),
  Uint8Array.of(0xed, 0xbf, 0xbf),
  Uint8Array.of(0xff),
  Uint8Array.of(0xc0, 0x80),
  Uint8Array.of(0xf4, 0x90, 0x80, 0x80),
  Uint8Array.of(0),
  // Varints: eleven bytes, a zero in five, and the beginning of one.
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
  Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0),
  Uint8Array.of(0x80, 0x80, 0x80, 0x80),
  // The beginnings and the end of groups.
  Uint8Array.of(0x0b),
  Uint8Array.of(0x0c),
  Uint8Array.of(0x7b),
  ...[
    '\ufeff',
    '\u202e',
    '\u0000',
    '\u2028',
    '\u30fc',
    '\u303c',
    '\u0307',
    'İ',
    'ß',
    '\\ud800',
    '\\u0000',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    '[[',
    '"__proto__":',
    '__proto__',
    'constructor',
    'null',
    'true',
    'NaN',
    '1e999',
    '-1',
    '-0',
    '0.1',
    '99999999999999999999',
    '9007199254740993',
    '\n',
    '\n\n',
    '\r',
    '\t',
    '%',
    '%2',
    '%00',
    '%ff',
    '%2F',
    '&',
    '=',
    '?',
    '/',
    '//',
    '/p2p/',
    '/dns4/',
    '/ip6zone/x',
    '/unix/',
    '/p2p-circuit',
    'data:',
    'id:',
    '.',
    '-',
    ' ',
  ].map((text) => new Uint8Array(Buffer.from(text))),
];

/** What stands in fields of a fixed length when somebody means harm: no key, no signature, no end, no time. */
const BLOCKS: readonly Uint8Array[] = [
  ...[2, 8, 16, 32, 64].flatMap((length) => [new Uint8Array(length), new Uint8Array(length).fill(0xff)]),
  ...EDGES.map((edge) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, edge);
    return bytes;
  }),
  ...SMALL_ORDER_POINTS,
];

function splice(bytes: Uint8Array, start: number, end: number, between: Uint8Array): Uint8Array {
  const out = new Uint8Array(start + between.byteLength + (bytes.byteLength - end));
  out.set(bytes.subarray(0, start));
  out.set(between, start);
  out.set(bytes.subarray(end), start + between.byteLength);
  return out;
}

function repeated(bytes: Uint8Array, times: number): Uint8Array {
  const out = new Uint8Array(bytes.byteLength * times);
  for (let at = 0; at < out.byteLength; at += bytes.byteLength) out.set(bytes, at);
  return out;
}

function randomBytes(seed: number, length: number): Uint8Array {
  const random = randomFrom(seed);
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

/** Mostly short, now and then very long. */
function longLength(how: number, longest: number): number {
  return how % 16 === 0 ? how % longest : how % 64;
}

/** A signature, a key and what stands between, counted from the end of an input. */
const OUTER_BYTES = 128;

/** What can be done to an input. Every kind makes something of every input, be it empty. */
const KINDS: readonly ((
  bytes: Uint8Array,
  step: readonly [number, number, number],
  samples: readonly Uint8Array[],
) => Uint8Array)[] = [
  function flipBit(bytes, [where, what]) {
    const out = bytes.slice();
    if (out.byteLength > 0) out[where % out.byteLength]! ^= 1 << (what % 8);
    return out;
  },
  function setByte(bytes, [where, what]) {
    const out = bytes.slice();
    if (out.byteLength > 0) out[where % out.byteLength] = what;
    return out;
  },
  function truncate(bytes, [where]) {
    return bytes.slice(0, where % (bytes.byteLength + 1));
  },
  function extend(bytes, [, what, how]) {
    return splice(bytes, bytes.byteLength, bytes.byteLength, randomBytes(what, longLength(how, 4096)));
  },
  function cut(bytes, [where, what]) {
    const start = where % (bytes.byteLength + 1);
    return splice(bytes, start, Math.min(bytes.byteLength, start + 1 + (what % 32)), new Uint8Array(0));
  },
  function duplicate(bytes, [where, what, how]) {
    const start = where % (bytes.byteLength + 1);
    const piece = bytes.subarray(start, start + 1 + (what % 64));
    const to = how % (bytes.byteLength + 1);
    return splice(bytes, to, to, piece);
  },
  function cross(bytes, [where, what, how], samples) {
    const other = samples[how % samples.length]!;
    const start = where % (bytes.byteLength + 1);
    return splice(bytes, start, bytes.byteLength, other.subarray(what % (other.byteLength + 1)));
  },
  function putNumber(bytes, [where, what, how]) {
    const start = where % (bytes.byteLength + 1);
    return splice(
      bytes,
      start,
      Math.min(bytes.byteLength, start + (how % 3)),
      varint(EDGES[what % EDGES.length]!),
    );
  },
  function putToken(bytes, [where, what, how]) {
    const start = where % (bytes.byteLength + 1);
    return splice(bytes, start, Math.min(bytes.byteLength, start + (how % 2)), TOKENS[what % TOKENS.length]!);
  },
  function repeatToken(bytes, [where, what, how]) {
    const start = where % (bytes.byteLength + 1);
    const token = TOKENS[what % TOKENS.length]!;
    return splice(bytes, start, start, repeated(token, 1 + longLength(how, 20_000)));
  },
  function repeatRange(bytes, [where, what, how]) {
    const start = where % (bytes.byteLength + 1);
    const piece = bytes.subarray(start, start + 1 + (what % 8));
    return piece.byteLength === 0
      ? bytes
      : splice(bytes, start, start, repeated(piece, 1 + longLength(how, 20_000)));
  },
  /** From the end as often as from the beginning, where the fields are that follow something long. */
  function overwrite(bytes, [where, what, how]) {
    const out = bytes.slice();
    const block = BLOCKS[what % BLOCKS.length]!.subarray(0, out.byteLength);
    const room = out.byteLength - block.byteLength + 1;
    out.set(block, how % 2 === 0 ? where % room : room - 1 - (where % Math.min(room, OUTER_BYTES)));
    return out;
  },
  function wireType(bytes, [where, what]) {
    const out = bytes.slice();
    if (out.byteLength > 0) {
      const at = where % out.byteLength;
      out[at] = (out[at]! & ~7) | (what % 8);
    }
    return out;
  },
  function nest(bytes, [where, what, how]) {
    let out = bytes;
    const tag = 8 * (1 + (where % 8)) + 2;
    for (let depth = 1 + longLength(what, 300); depth > 0 && out.byteLength < USUAL_BYTES; depth--)
      out = Buffer.concat([
        Uint8Array.of(tag),
        varint(BigInt(out.byteLength + (how % 7 === 0 ? 1 : 0))),
        out,
      ]);
    return out;
  },
  function random(_bytes, [where, what, how]) {
    return randomBytes(where * 31 + what, longLength(how, 1024));
  },
  function field(bytes, [where, what, how], samples) {
    return changeField(bytes, [where, what, how], (value) =>
      KINDS[how % 12]!(value, [what, how, where], samples),
    );
  },
];

/** The kind that knows of protobuf gets to the inside of messages, so it comes up more often than the others. */
const FIELD = KINDS.length - 1;

/** The input that a recipe makes of samples. The same recipe and samples give the same input. */
export function mutate(samples: readonly Uint8Array[], { sample, steps }: Recipe): Uint8Array {
  let bytes = samples[sample % samples.length]!;
  for (const [kind, where, what, how] of steps) {
    const change = KINDS[kind >= 160 ? FIELD : kind % KINDS.length]!;
    bytes = change(bytes, [where, what, how], samples);
    if (bytes.byteLength > MAX_INPUT_BYTES) bytes = bytes.slice(0, MAX_INPUT_BYTES);
  }
  // A copy in memory of its own, as a plain Uint8Array: what decoders are given must not depend on how it was made.
  return new Uint8Array(bytes);
}

/** Text out of a fuzzed input. UTF-8, in which halves of surrogate pairs can be written too (as in WTF-8). */
export function textFrom(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  let from = 0;
  for (let at = buffer.indexOf(0xed); at !== -1; at = buffer.indexOf(0xed, at + 1)) {
    const second = buffer[at + 1] ?? 0;
    const third = buffer[at + 2] ?? 0;
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue;
    text +=
      buffer.toString('utf8', from, at) +
      String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f));
    from = at + 3;
  }
  return text + buffer.toString('utf8', from);
}
