import { createHash, createPrivateKey, createPublicKey, decapsulate, diffieHellman, hash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { RecipientContextParams } from '@hpke/core';
import { XWing } from '@hpke/hybridkem-x-wing';

/** An X-Wing secret key is the seed that all of it follows from (draft-connolly-cfrg-xwing-kem, section 5.2). */
export const SECRET_KEY_BYTES = 32;

const MLKEM_CIPHERTEXT_BYTES = 1088;

/** Section 5.3: what keeps this combination apart from others. */
const LABEL = Buffer.from('\\.//^\\');

interface SecretKeys {
  mlkem: KeyObject;
  x25519: KeyObject;
}

/** Section 5.2.1. ML-KEM's seed is 64 bytes (FIPS 203, section 7.1), X25519's key is 32. */
function expand(secretKey: Uint8Array): SecretKeys {
  const expanded = createHash('shake256', { outputLength: 96 }).update(secretKey).digest();
  const keys = {
    mlkem: createPrivateKey({
      key: expanded.subarray(0, 64),
      format: 'raw-seed',
      asymmetricKeyType: 'ml-kem-768',
    }),
    x25519: createPrivateKey({
      key: expanded.subarray(64),
      format: 'raw-private',
      asymmetricKeyType: 'x25519',
    }),
  };
  expanded.fill(0);
  return keys;
}

function publicBytes(secretKey: KeyObject): Buffer {
  return createPublicKey(secretKey).export({ format: 'raw-public' });
}

/** The public key of a secret key: 1,216 bytes. */
export function xWingPublicKey(secretKey: Uint8Array): Uint8Array {
  const { mlkem, x25519 } = expand(secretKey);
  return Uint8Array.from([...publicBytes(mlkem), ...publicBytes(x25519)]);
}

/**
 * Section 5.5. OpenSSL refuses a point of small order; a ciphertext for another key gives a secret that nobody has.
 *
 * @throws Error when a part of the ciphertext is none
 */
function xWingDecapsulate(secretKey: Uint8Array, ciphertext: Uint8Array): Uint8Array<ArrayBuffer> {
  const { mlkem, x25519 } = expand(secretKey);
  const point = ciphertext.subarray(MLKEM_CIPHERTEXT_BYTES);
  const secrets = [
    decapsulate(mlkem, ciphertext.subarray(0, MLKEM_CIPHERTEXT_BYTES)),
    diffieHellman({
      privateKey: x25519,
      publicKey: createPublicKey({ key: point, format: 'raw-public', asymmetricKeyType: 'x25519' }),
    }),
  ];
  const all = Buffer.concat([...secrets, point, publicBytes(x25519), LABEL]);
  const secret = Uint8Array.from(hash('sha3-256', all, 'buffer'));
  for (const each of [...secrets, all]) each.fill(0);
  return secret;
}

/**
 * The library's X-Wing, except that whatever touches the secret of a prekey is done by Node's OpenSSL. Its arithmetic takes
 * the same time whatever the secret; that of big numbers in JavaScript does not, and whoever runs a mailbox sees how
 * long an opening took. What encapsulation touches is used once and gone.
 */
export class NativeXWing extends XWing {
  override async decap({ recipientKey, enc }: RecipientContextParams): Promise<ArrayBuffer> {
    const key = 'privateKey' in recipientKey ? recipientKey.privateKey : recipientKey;
    const ciphertext = ArrayBuffer.isView(enc)
      ? new Uint8Array(enc.buffer, enc.byteOffset, enc.byteLength)
      : new Uint8Array(enc);
    if (ciphertext.byteLength !== this.encSize) throw new RangeError(`enc: not ${this.encSize} bytes`);
    return xWingDecapsulate(new Uint8Array(await this.serializePrivateKey(key)), ciphertext).buffer;
  }
}
