import { createHash } from 'node:crypto';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { NONCE_BYTES } from '../../protocols/mailbox/sealed.ts';
import { COINS_BYTES } from './hpke.ts';
import { SECRET_KEY_BYTES } from './x-wing.ts';

/** Randomness that is the same in each run: SHAKE-256 of a name. */
export function bytesOf(name: string, length: number): Uint8Array {
  return Uint8Array.from(createHash('shake256', { outputLength: length }).update(name).digest());
}

export function coinsOf(name: string): Uint8Array {
  return bytesOf(`coins ${name}`, COINS_BYTES);
}

export function nonceOf(name: string): Uint8Array {
  return bytesOf(`nonce ${name}`, NONCE_BYTES);
}

export function secretKeyOf(name: string): Uint8Array {
  return bytesOf(`prekey ${name}`, SECRET_KEY_BYTES);
}

/** Somebody, with an identity that is the same in each run. */
export interface Person {
  identity: Ed25519PrivateKey;
  /** Peer id bytes. */
  peer: Uint8Array;
}

export async function person(name: string): Promise<Person> {
  const identity = await generateKeyPairFromSeed('Ed25519', bytesOf(`identity ${name}`, 32));
  return { identity, peer: identity.publicKey.toMultihash().bytes };
}
