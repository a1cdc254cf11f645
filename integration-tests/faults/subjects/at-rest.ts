import { createHash } from 'node:crypto';
import { decodeDataKey, encodeDataKey } from '../../../node/at-rest/data-key.ts';
import { DATA_KEY_BYTES, rowSealer } from '../../../node/at-rest/row-sealer.ts';
import { decodePin, encodePin } from '../../../node/store/pin.ts';
import type { Pin } from '../../../node/store/pin.ts';
import type { Subject } from '../subject.ts';

const KEY = new Uint8Array(DATA_KEY_BYTES).fill(3);
const PASSPHRASE = 'correct horse battery';
/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

/** Where a key file says how much work a guess is, and how long that is. */
const COST_AT = 18;
const COST_BYTES = 9;
const CHECKSUM_BYTES = 8;

const wrapped = encodeDataKey(KEY, PASSPHRASE, CHEAP);

/** The same file with a checksum over what it says now. */
function mended(file: Uint8Array): Uint8Array {
  const kept = file.subarray(0, Math.max(0, file.byteLength - CHECKSUM_BYTES));
  return Buffer.concat([kept, createHash('sha256').update(kept).digest().subarray(0, CHECKSUM_BYTES)]);
}

/** A key file that asks for more work than any machine has, or for none. */
function asking(memoryKiB: number, passes: number, lanes: number): Uint8Array {
  const file = Buffer.from(wrapped);
  file.writeUInt32BE(memoryKiB, COST_AT);
  file.writeUInt32BE(passes, COST_AT + 4);
  file.writeUInt8(lanes, COST_AT + 8);
  return mended(file);
}

const unbearable = [
  asking(0xffff_ffff, 1, 1),
  asking(8, 0xffff_ffff, 1),
  asking(2048, 1, 0xff),
  asking(8, 0, 1),
  asking(0, 1, 1),
  asking(8, 1, 0),
];

/** Mended, and asking for as little work as can be: what is in it is what counts. */
function opened(file: Uint8Array): Uint8Array {
  const copy = Buffer.from(file);
  if (copy.byteLength > COST_AT + COST_BYTES)
    copy.set(wrapped.subarray(COST_AT, COST_AT + COST_BYTES), COST_AT);
  return decodeDataKey(mended(copy), PASSPHRASE);
}

const bodies = rowSealer(KEY).column('messages.body');

export const subject: Subject = {
  name: 'at rest',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'bare data key',
      decode: (bytes) => decodeDataKey(bytes, null),
      encode: (key: Uint8Array) => encodeDataKey(key, null),
      refusals: ['DataKeyError'],
      samples: () => [encodeDataKey(KEY, null)],
    },
    {
      name: 'wrapped data key',
      decode: (bytes) => decodeDataKey(bytes, PASSPHRASE),
      encode: (key: Uint8Array) => encodeDataKey(key, PASSPHRASE, CHEAP),
      refusals: ['DataKeyError'],
      samples: () => [wrapped],
      forged: () => [
        ...unbearable,
        encodeDataKey(KEY, 'another passphrase', CHEAP),
        encodeDataKey(KEY, null),
      ],
    },
    {
      name: 'wrapped data key, mended',
      decode: opened,
      encode: (key: Uint8Array) => encodeDataKey(key, PASSPHRASE, CHEAP),
      refusals: ['DataKeyError'],
      samples: () => [wrapped],
      forged: () => [encodeDataKey(KEY, 'another passphrase', CHEAP)],
    },
    {
      name: 'sealed value',
      decode: (bytes) => bodies.open(bytes, 1, 2),
      encode: (value: Uint8Array) => bodies.seal(value, 1, 2),
      refusals: ['SealedValueError'],
      samples: () => ['', 'hello', 'x'.repeat(1000)].map((text) => bodies.seal(Buffer.from(text), 1, 2)),
      // Of another row, of another column, and under another key.
      forged: () => [
        bodies.seal(Buffer.from('hello'), 1, 3),
        rowSealer(KEY).column('messages.id').seal(Buffer.from('hello'), 1, 2),
        rowSealer(new Uint8Array(DATA_KEY_BYTES)).column('messages.body').seal(Buffer.from('hello'), 1, 2),
      ],
    },
    {
      name: 'pin',
      decode: (bytes) => decodePin(bytes),
      encode: (pin: Pin) => encodePin(pin),
      refusals: ['StoreError'],
      samples: () => [
        encodePin({
          name: 'ben',
          phonebook: '12D3Koo',
          peer: '12D3Kop',
          seq: 3,
          certificate: Uint8Array.of(1),
        }),
      ],
      // Numbers that come out as others when they are written again.
      regressions: ['1e999', '1e21', '-0'].map((seq) =>
        Buffer.from(`["ben","12D3Koo","12D3Kop",${seq},"AQ=="]`).toString('hex'),
      ),
    },
  ],
};
