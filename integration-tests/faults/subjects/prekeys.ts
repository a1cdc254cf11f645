import { decodeOwnPrekey, encodeOwnPrekey } from '../../../node/sessions/prekeys.ts';
import { startSession } from '../../../node/sessions/outgoing.ts';
import { openPrekey, PREKEY_BYTES, signPrekey } from '../../../protocols/mailbox/prekey.ts';
import type { Prekey } from '../../../protocols/mailbox/prekey.ts';
import { ada, ben, NOW_MS, phonebook } from '../fuzz/fuzz-papers.ts';
import { SMALL_ORDER_POINTS } from '../fuzz/fuzz-points.ts';
import { bundle, coins, overwritten, owner, prekey, recipient, signedAnew } from '../fuzz/fuzz-sessions.ts';
import type { Subject } from '../subject.ts';

/** Where the parts of a prekey are. */
const KIND_AT = 1;
const EXPIRY_AT = 2;
const KEY_AT = 10;
const X25519_AT = KEY_AT + 1184;
const SIGNATURE_AT = PREKEY_BYTES - 64;

const LATEST_MS = new Uint8Array(8).fill(0xff);

/** What is wrong whoever signed it. */
const misstated = [
  overwritten(bundle, 0, Uint8Array.of(0)),
  overwritten(bundle, 0, Uint8Array.of(2)),
  overwritten(bundle, KIND_AT, Uint8Array.of(0)),
  overwritten(bundle, KIND_AT, Uint8Array.of(3)),
  overwritten(bundle, EXPIRY_AT, new Uint8Array(8)),
  overwritten(bundle, EXPIRY_AT, LATEST_MS),
  bundle.subarray(0, -1),
  Buffer.concat([bundle, Uint8Array.of(0)]),
];

/** Prekeys of Ben's that others signed, for themselves too, or that Ben signed for something else. */
const misattributed = [
  await signPrekey(ada, prekey),
  await signPrekey(phonebook, prekey),
  overwritten(bundle, SIGNATURE_AT, new Uint8Array(64)),
  overwritten(bundle, SIGNATURE_AT, await ben.sign(bundle.subarray(0, SIGNATURE_AT))),
  overwritten(
    bundle,
    SIGNATURE_AT,
    (await signPrekey(ben, { ...prekey, kind: 'last-resort' })).subarray(-64),
  ),
];

/** Keys to which a session would have a secret that anybody finds, or none. */
const unusable = [
  ...SMALL_ORDER_POINTS.map((point) => overwritten(bundle, X25519_AT, point)),
  overwritten(bundle, KEY_AT, new Uint8Array(1216)),
  // Coefficients of ML-KEM are below 3,329 (FIPS 203, section 7.2).
  overwritten(bundle, KEY_AT, new Uint8Array(1152).fill(0xff)),
];

const open = (bytes: Uint8Array) => openPrekey(bytes, { owner, nowMs: NOW_MS });
const encode = (prekey: Prekey) => signPrekey(ben, prekey);

export const subject: Subject = {
  name: 'prekeys',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'prekey',
      decode: open,
      encode,
      refusals: ['PrekeyError'],
      samples: () => [bundle],
      forged: () => [...misstated, ...misattributed],
    },
    {
      name: 'prekey, signed anew',
      decode: async (bytes) => open(await signedAnew(bytes)),
      encode,
      refusals: ['PrekeyError'],
      samples: () => [bundle],
      forged: () => misstated,
    },
    {
      name: 'prekey, sealed to',
      decode: async (bytes) => {
        const theirs = await open(await signedAnew(bytes));
        await startSession(ada, { recipient, prekey: theirs, nowMs: NOW_MS, coins });
        return theirs.expiresMs;
      },
      refusals: ['PrekeyError'],
      samples: () => [bundle],
      forged: () => [...misstated, ...unusable],
      // Arithmetic of big numbers: 1.5 MB for each key, and three times as much before it is compiled.
      allocatedPerByte: 5_000,
    },
    {
      name: 'own prekey',
      decode: decodeOwnPrekey,
      encode: encodeOwnPrekey,
      refusals: ['SessionStateError'],
      samples: () => [encodeOwnPrekey(prekey)],
      forged: () => [encodeOwnPrekey({ ...prekey, secretKey: new Uint8Array(32) })],
    },
  ],
};
