import { encrypt, keyOf } from '../../../node/sessions/chain.ts';
import { takeInSession, takeSealed } from '../../../node/sessions/incoming.ts';
import type { Taken } from '../../../node/sessions/incoming.ts';
import { startSession } from '../../../node/sessions/outgoing.ts';
import { layOutSealed, readSealed, readSealedBody, sessionIdOf } from '../../../protocols/mailbox/sealed.ts';
import type { OpeningBody } from '../../../protocols/mailbox/sealed.ts';
import { ada, NOW_MS, phonebook } from '../fuzz/fuzz-papers.ts';
import { SMALL_ORDER_POINTS } from '../fuzz/fuzz-points.ts';
import {
  content,
  first,
  firstBlobOf,
  nonce,
  overwritten,
  prekey,
  prekeyState,
  recipient,
  second,
  session,
  sessionState,
  started,
  stranger,
  third,
} from '../fuzz/fuzz-sessions.ts';
import type { Subject } from '../subject.ts';

/** Where the parts of a blob are. */
const SESSION_ID_AT = 2;
const COUNTER_AT = 18;
const PREKEY_ID_AT = 32;
const KEM_AT = 48;
const X25519_AT = KEM_AT + 1088;
const OPENING_HEADER_BYTES = KEM_AT + 1120;

const blobs = [first.blob, third.blob, second.blob];

const own = started.opening!;
const NO_SIGNATURE = new Uint8Array(64);

/** A session id that fits what is in the header, as nothing else gets past it. */
function fitted(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.byteLength >= OPENING_HEADER_BYTES && copy[1] === 1) {
    const id = sessionIdOf({
      prekeyId: copy.subarray(PREKEY_ID_AT, KEM_AT),
      kemCiphertext: copy.subarray(KEM_AT, OPENING_HEADER_BYTES),
    });
    copy.set(id, SESSION_ID_AT);
  }
  return copy;
}

function headerOf(bytes: Uint8Array) {
  const { sessionId, counter, nonce, opening, ciphertext, tag } = readSealed(bytes);
  return { sessionId, counter, nonce, opening, ciphertext, tag };
}

const shown = ({ sender, content, session: { chain } }: Taken) => ({
  sender: Buffer.from(sender).toString('hex'),
  content: Buffer.from(content).toString('hex'),
  next: chain.next,
  keys: chain.keys.length,
});

const bodyWith = (opening: OpeningBody): Buffer =>
  layOutSealed({ sessionId: started.id, counter: 0, nonce, opening: own }, { content, opening }).plaintext;

const bodies = [
  layOutSealed({ sessionId: started.id, counter: 0, nonce }, { content }).plaintext,
  bodyWith(own),
] as const;

/** The first blob, with these bytes sealed in it by who knows its key: cut off, or followed by zeros. */
function sealedAnew(body: Uint8Array): Uint8Array {
  const { blob, headerBytes, plaintext, tag } = layOutSealed(
    { sessionId: started.id, counter: 0, nonce, opening: own },
    { content, opening: own },
  );
  plaintext.fill(0);
  plaintext.set(body.subarray(0, plaintext.byteLength));
  const { key } = keyOf(started.chain, 0)!;
  encrypt({ key, nonce, header: headerBytes, plaintext, tag });
  return blob;
}

const toStranger = await startSession(ada, {
  recipient: stranger,
  prekey,
  nowMs: NOW_MS,
  coins: new Uint8Array(64).fill(2),
});
const another = await startSession(ada, {
  recipient,
  prekey,
  nowMs: NOW_MS,
  coins: new Uint8Array(64).fill(5),
});
const strangers = await startSession(phonebook, {
  recipient,
  prekey,
  nowMs: NOW_MS,
  coins: new Uint8Array(64).fill(2),
});

/** Who opens a session, signed by somebody else, for somebody else, or for another session. */
const misattributed = [
  { sender: own.sender, signature: strangers.opening!.signature },
  { sender: stranger, signature: own.signature },
  { sender: recipient, signature: own.signature },
  { sender: own.sender, signature: toStranger.opening!.signature },
  { sender: own.sender, signature: another.opening!.signature },
  { sender: own.sender, signature: NO_SIGNATURE },
  { sender: overwritten(own.sender, 0, Uint8Array.of(0x12, 0x20)), signature: own.signature },
];

/** Blobs of no number that a session has. */
const outOfRange = [512, 0x7fff, 0xffff].map((counter) =>
  overwritten(first.blob, COUNTER_AT, Uint8Array.of(counter >> 8, counter & 0xff)),
);

/** Openings to the prekey that come to a secret that anybody finds, or to none. */
const weak = [
  ...SMALL_ORDER_POINTS.map((point) => fitted(overwritten(first.blob, X25519_AT, point))),
  fitted(overwritten(first.blob, KEM_AT, new Uint8Array(1120))),
  firstBlobOf({ chain: { ...started.chain, chainKey: new Uint8Array(32) } }),
  fitted(overwritten(first.blob, PREKEY_ID_AT, new Uint8Array(16))),
];

export const subject: Subject = {
  name: 'sealed',
  leastInputs: 100_000,
  decoders: [
    {
      name: 'sealed blob header',
      decode: (bytes) => headerOf(fitted(bytes)),
      encode({ ciphertext, tag, ...header }: ReturnType<typeof headerOf>) {
        const { opening, ...rest } = header;
        const length = ciphertext.byteLength + tag.byteLength;
        const whole = { content: new Uint8Array(length - 20) };
        const laid = layOutSealed(opening === undefined ? rest : { ...rest, opening }, whole);
        laid.plaintext.set(ciphertext);
        laid.tag.set(tag);
        return laid.blob;
      },
      refusals: ['SealedError'],
      samples: () => blobs,
      forged: () => outOfRange,
    },
    ...bodies.map((body, index) => ({
      name: `sealed body${index === 1 ? ' with an opening' : ''}`,
      decode: (bytes: Uint8Array) => readSealedBody(Buffer.from(bytes), index === 1),
      refusals: ['SealedError'],
      samples: () => [body],
    })),
    {
      name: 'sealed blob in its session',
      decode: (bytes) => shown(takeInSession(readSealed(bytes), session, { nowMs: NOW_MS })),
      refusals: ['SealedError'],
      samples: () => [first.blob, third.blob],
      forged: () => [
        ...outOfRange,
        // Taken before, and the last there can be, for whose key all others have to be derived.
        second.blob,
        overwritten(third.blob, COUNTER_AT, Uint8Array.of(1, 0xff)),
        overwritten(third.blob, SESSION_ID_AT, another.id),
      ],
      state: sessionState,
    },
    {
      name: 'sealed blob to a prekey',
      decode: async (bytes) =>
        shown(await takeSealed(readSealed(fitted(bytes)), { recipient, nowMs: NOW_MS, prekey })),
      refusals: ['SealedError'],
      samples: () => [first.blob, second.blob],
      forged: () => [
        ...outOfRange,
        ...weak,
        ...misattributed.map((opening) => firstBlobOf({}, opening)),
        firstBlobOf(toStranger, toStranger.opening),
        // Of a session that is not opened with it.
        third.blob,
      ],
      state: prekeyState,
    },
    {
      name: 'opening, sealed anew',
      decode: async (bytes) =>
        shown(await takeSealed(readSealed(sealedAnew(bytes)), { recipient, nowMs: NOW_MS, prekey })),
      refusals: ['SealedError'],
      samples: () => [bodies[1]],
      forged: () => misattributed.map(bodyWith),
      state: prekeyState,
    },
  ],
};
