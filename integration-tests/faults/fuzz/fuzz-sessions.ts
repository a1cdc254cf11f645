import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { encodeIncoming, takeSealed } from '../../../node/sessions/incoming.ts';
import { confirmed, seal, startSession } from '../../../node/sessions/outgoing.ts';
import type { OutgoingSession } from '../../../node/sessions/outgoing.ts';
import { encodeOwnPrekey, makePrekey } from '../../../node/sessions/prekeys.ts';
import { PREKEY_BYTES } from '../../../protocols/mailbox/prekey.ts';
import { readSealed } from '../../../protocols/mailbox/sealed.ts';
import { ada, ben, NOW_MS, phonebook } from './fuzz-papers.ts';

/** A session of Ada's to Ben, made with coins that never change. */

const PREKEY_CONTEXT = Buffer.from('tincan-mailbox-prekey-v1:');

const SIGNATURE_BYTES = 64;

export const owner = peerIdFromPrivateKey(ben);
export const recipient = ben.publicKey.toMultihash().bytes;
export const stranger = phonebook.publicKey.toMultihash().bytes;

export const nonce = new Uint8Array(12).fill(3);
export const content = new Uint8Array(300).fill(7);
export const coins = new Uint8Array(64).fill(2);

/** Ben's. */
export const { prekey, bundle } = await makePrekey(ben, {
  kind: 'one-time',
  expiresMs: NOW_MS + 1e9,
  secretKey: new Uint8Array(32).fill(1),
});

export const started = await startSession(ada, { recipient, prekey, nowMs: NOW_MS, coins });

/** The first blob of the session, the second, and the third, which carries no opening. */
export const first = seal(started, content, { nonce });
export const second = seal(first.session, content, { nonce });
export const third = seal(confirmed(second.session), content, { nonce });

/** Ben's side of it: the second blob came before the first, so that there is a key left for the first. */
export const { session } = await takeSealed(readSealed(second.blob), { recipient, nowMs: NOW_MS, prekey });

/** What no blob that is refused may change. */
export const sessionState = (): Uint8Array => encodeIncoming(session);
export const prekeyState = (): Uint8Array => encodeOwnPrekey(prekey);

/** The same prekey with a signature of Ben's over what it says now. What has another length stays as it is. */
export async function signedAnew(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.byteLength !== PREKEY_BYTES) return bytes;
  const signed = bytes.subarray(0, PREKEY_BYTES - SIGNATURE_BYTES);
  return Buffer.concat([signed, await ben.sign(Buffer.concat([PREKEY_CONTEXT, recipient, signed]))]);
}

/** The first blob of a session like Ada's, but for what is given. */
export function firstBlobOf(
  fields: Partial<OutgoingSession>,
  opening: Partial<OutgoingSession['opening']> = {},
) {
  return seal({ ...started, ...fields, opening: { ...started.opening!, ...opening } }, content, { nonce })
    .blob;
}

/** A copy with these bytes written over it at a place. */
export function overwritten(bytes: Uint8Array, at: number, by: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(by, at);
  return copy;
}
