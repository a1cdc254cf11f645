import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import {
  decodeIncoming,
  encodeIncoming,
  takeInSession,
  takeSealed,
} from '../../../node/sessions/incoming.ts';
import type { Taken } from '../../../node/sessions/incoming.ts';
import {
  confirmed,
  decodeOutgoing,
  encodeOutgoing,
  seal,
  startSession,
} from '../../../node/sessions/outgoing.ts';
import { decodeOwnPrekey, encodeOwnPrekey, makePrekey } from '../../../node/sessions/prekeys.ts';
import { openPrekey, PREKEY_BYTES, signPrekey } from '../../../protocols/mailbox/prekey.ts';
import type { Prekey } from '../../../protocols/mailbox/prekey.ts';
import { layOutSealed, readSealed, readSealedBody, sessionIdOf } from '../../../protocols/mailbox/sealed.ts';
import { ada, ben, NOW_MS } from '../fuzz/fuzz-papers.ts';
import type { Subject } from '../subject.ts';

const PREKEY_CONTEXT = Buffer.from('tincan-mailbox-prekey-v1:');

const owner = peerIdFromPrivateKey(ben);
const recipient = ben.publicKey.toMultihash().bytes;
const nonce = new Uint8Array(12).fill(3);
const content = new Uint8Array(300).fill(7);

const { prekey, bundle } = await makePrekey(ben, {
  kind: 'one-time',
  expiresMs: NOW_MS + 1e9,
  secretKey: new Uint8Array(32).fill(1),
});
const started = await startSession(ada, {
  recipient,
  prekey,
  nowMs: NOW_MS,
  coins: new Uint8Array(64).fill(2),
});
const opening = seal(started, content, { nonce });
const second = seal(opening.session, content, { nonce });
const inSession = seal(confirmed(second.session), content, { nonce });
// The second one first, so that there is a key left for the first.
const { session } = await takeSealed(readSealed(second.blob), { recipient, nowMs: NOW_MS, prekey });
const blobs = [opening.blob, inSession.blob, second.blob];

/** What is in the header has to lead to the same header again; the session's id is made to fit, as nothing else gets past it. */
function fitted(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (copy.byteLength >= 1168 && copy[1] === 1) {
    const id = sessionIdOf({ prekeyId: copy.subarray(32, 48), kemCiphertext: copy.subarray(48, 1168) });
    copy.set(id, 2);
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

/** The same prekey with a signature of Ben's over what it says now. */
async function signedAnew(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.byteLength !== PREKEY_BYTES) return bytes;
  const signed = bytes.subarray(0, PREKEY_BYTES - 64);
  const signature = await ben.sign(Buffer.concat([PREKEY_CONTEXT, recipient, signed]));
  return Buffer.concat([signed, signature]);
}

const bodies = [false, true].map((withOpening) => {
  const header = { sessionId: started.id, counter: 0, nonce };
  const { opening } = started;
  return withOpening && opening !== undefined
    ? layOutSealed({ ...header, opening }, { content, opening }).plaintext
    : layOutSealed(header, { content }).plaintext;
});

export const subject: Subject = {
  name: 'sealed',
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
      samples: () => blobs.slice(0, 2),
    },
    {
      name: 'sealed blob to a prekey',
      decode: async (bytes) =>
        shown(await takeSealed(readSealed(fitted(bytes)), { recipient, nowMs: NOW_MS, prekey })),
      refusals: ['SealedError'],
      samples: () => [opening.blob, second.blob],
    },
    {
      name: 'prekey',
      decode: (bytes) => openPrekey(bytes, { owner, nowMs: NOW_MS }),
      encode: (prekey: Prekey) => signPrekey(ben, prekey),
      refusals: ['PrekeyError'],
      samples: () => [bundle],
    },
    {
      name: 'prekey, signed anew',
      decode: async (bytes) => openPrekey(await signedAnew(bytes), { owner, nowMs: NOW_MS }),
      encode: (prekey: Prekey) => signPrekey(ben, prekey),
      refusals: ['PrekeyError'],
      samples: () => [bundle],
    },
    {
      name: 'prekey, sealed to',
      decode: async (bytes) => {
        const theirs = await openPrekey(await signedAnew(bytes), { owner, nowMs: NOW_MS });
        await startSession(ada, {
          recipient,
          prekey: theirs,
          nowMs: NOW_MS,
          coins: new Uint8Array(64).fill(2),
        });
        return theirs.expiresMs;
      },
      refusals: ['PrekeyError'],
      samples: () => [bundle],
    },
    {
      name: 'outgoing session',
      decode: decodeOutgoing,
      encode: encodeOutgoing,
      refusals: ['SessionStateError'],
      samples: () => [encodeOutgoing(started), encodeOutgoing(confirmed(started))],
    },
    {
      name: 'incoming session',
      decode: decodeIncoming,
      encode: encodeIncoming,
      refusals: ['SessionStateError'],
      samples: () => [
        encodeIncoming(session),
        encodeIncoming({ ...session, chain: { ...session.chain, keys: [] } }),
      ],
    },
    {
      name: 'own prekey',
      decode: decodeOwnPrekey,
      encode: encodeOwnPrekey,
      refusals: ['SessionStateError'],
      samples: () => [encodeOwnPrekey(prekey)],
    },
  ],
};
