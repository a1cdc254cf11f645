import { CipherSuite, ExportOnly, HkdfSha256 } from '@hpke/core';
import { CHAIN_EXPORT_CONTEXT } from '../../protocols/mailbox/sealed.ts';
import { NativeXWing } from './x-wing.ts';

/*
 * HPKE (RFC 9180) in base mode: X-Wing, HKDF-SHA-256, export only. The library works on the buffers of keys and randomness that it
 * is given, so these are copies, which are overwritten; what it makes inside can't be.
 */

/** Randomness of one encapsulation: ML-KEM's and X25519's (section 5.4). */
export const COINS_BYTES = 64;

/** The first chain key of a session. */
export const CHAIN_KEY_BYTES = 32;

const kem = new NativeXWing();
const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new ExportOnly() });

/**
 * Makes a secret that only the owner of a public key finds again.
 *
 * @param init.info what the secret is bound to
 * @param init.coins 64 random bytes; the same ones give the same secret
 * @throws Error when the public key is none, or one of its halves of small order
 */
export async function encapsulate({
  publicKey,
  info,
  coins,
}: {
  publicKey: Uint8Array;
  info: Uint8Array;
  coins: Uint8Array;
}): Promise<{ kemCiphertext: Uint8Array; chainKey: Uint8Array }> {
  const ekm = Uint8Array.from(coins);
  try {
    const sender = await suite.createSenderContext({
      recipientPublicKey: await kem.deserializePublicKey(publicKey),
      info,
      ekm: ekm.buffer,
    });
    const chainKey = new Uint8Array(await sender.export(CHAIN_EXPORT_CONTEXT, CHAIN_KEY_BYTES));
    return { kemCiphertext: new Uint8Array(sender.enc), chainKey };
  } finally {
    ekm.fill(0);
  }
}

/**
 * Finds the secret again. A ciphertext that was made for another key, or by nobody, gives a secret that nobody has.
 *
 * @throws Error when the X25519 half of the ciphertext is of small order
 */
export async function decapsulate({
  secretKey,
  kemCiphertext,
  info,
}: {
  secretKey: Uint8Array;
  kemCiphertext: Uint8Array;
  info: Uint8Array;
}): Promise<Uint8Array> {
  const copy = Uint8Array.from(secretKey);
  try {
    const recipient = await suite.createRecipientContext({
      recipientKey: await kem.deserializePrivateKey(copy.buffer),
      enc: kemCiphertext,
      info,
    });
    return new Uint8Array(await recipient.export(CHAIN_EXPORT_CONTEXT, CHAIN_KEY_BYTES));
  } finally {
    copy.fill(0);
  }
}
