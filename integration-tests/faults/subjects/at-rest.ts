import { decodeDataKey, encodeDataKey } from '../../../node/at-rest/data-key.ts';
import { DATA_KEY_BYTES, rowSealer } from '../../../node/at-rest/row-sealer.ts';
import { decodePin, encodePin } from '../../../node/store/pin.ts';
import type { Pin } from '../../../node/store/pin.ts';
import type { Subject } from '../subject.ts';

const KEY = new Uint8Array(DATA_KEY_BYTES).fill(3);
const PASSPHRASE = 'correct horse battery';
/** As little work as Argon2id allows. */
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

const bodies = rowSealer(KEY).column('messages.body');

export const subject: Subject = {
  name: 'at rest',
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
      samples: () => [encodeDataKey(KEY, PASSPHRASE, CHEAP)],
    },
    {
      name: 'sealed value',
      decode: (bytes) => bodies.open(bytes, 1, 2),
      encode: (value: Uint8Array) => bodies.seal(value, 1, 2),
      refusals: ['SealedValueError'],
      samples: () => ['', 'hello', 'x'.repeat(1000)].map((text) => bodies.seal(Buffer.from(text), 1, 2)),
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
