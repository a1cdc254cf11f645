import type { Ed25519PrivateKey } from '@libp2p/interface';
import { prekeyId, signPrekey, XWING_PUBLIC_KEY_BYTES } from '../../protocols/mailbox/prekey.ts';
import type { Prekey } from '../../protocols/mailbox/prekey.ts';
import { encodeState, isAllZero, SessionStateError, stateReader, time } from './state.ts';
import { SECRET_KEY_BYTES, xWingPublicKey } from './x-wing.ts';

/** A prekey of our own, with its secret. Plain data, to be kept sealed. */
export interface OwnPrekey extends Prekey {
  /** 32 bytes. */
  secretKey: Uint8Array;
}

/**
 * Makes a prekey, and the 1,290 bytes to hand out or publish for it once the secret is committed.
 *
 * @param init.secretKey 32 random bytes
 * @param init.expiresMs milliseconds since 1970 after which nobody should open a session to it
 */
export async function makePrekey(
  identity: Pick<Ed25519PrivateKey, 'publicKey' | 'sign'>,
  { kind, expiresMs, secretKey }: Pick<OwnPrekey, 'kind' | 'expiresMs' | 'secretKey'>,
): Promise<{ prekey: OwnPrekey; bundle: Uint8Array }> {
  if (secretKey.byteLength !== SECRET_KEY_BYTES || isAllZero(secretKey)) {
    throw new RangeError(`secretKey: not ${SECRET_KEY_BYTES} random bytes`);
  }
  const publicKey = xWingPublicKey(secretKey);
  const prekey: OwnPrekey = { id: prekeyId(publicKey), kind, publicKey, expiresMs, secretKey };
  return { prekey, bundle: await signPrekey(identity, prekey) };
}

/** A prekey with its secret as bytes for the store: 1,259 of them. */
export function encodeOwnPrekey({ kind, expiresMs, secretKey, publicKey }: OwnPrekey): Uint8Array {
  return encodeState('prekey', [
    Uint8Array.of(kind === 'one-time' ? 1 : 2),
    time(expiresMs),
    secretKey,
    publicKey,
  ]);
}

/**
 * Reads what `encodeOwnPrekey` wrote.
 *
 * @throws SessionStateError
 */
export function decodeOwnPrekey(bytes: Uint8Array): OwnPrekey {
  const reader = stateReader('prekey', bytes);
  const kind = reader.uint8();
  if (kind !== 1 && kind !== 2) throw new SessionStateError('a prekey of no known kind');
  const expiresMs = reader.time();
  const secretKey = reader.secret(SECRET_KEY_BYTES);
  const publicKey = reader.bytes(XWING_PUBLIC_KEY_BYTES);
  reader.end();
  return {
    id: prekeyId(publicKey),
    kind: kind === 1 ? 'one-time' : 'last-resort',
    publicKey,
    expiresMs,
    secretKey,
  };
}
