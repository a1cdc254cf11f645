import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { CHAIN_STEP_INFO, KEYS_PER_STEP, MAX_SESSION_BLOBS } from '../../protocols/mailbox/sealed.ts';
import { CHAIN_KEY_BYTES } from './hpke.ts';
import { SessionStateError, uint16 } from './state.ts';
import type { StateReader } from './state.ts';

/** A key of ChaCha20-Poly1305. */
const MESSAGE_KEY_BYTES = 32;

const CIPHER = 'chacha20-poly1305';
const TAG = { authTagLength: 16 };
const NO_SALT = new Uint8Array(0);
const STEP_BYTES = KEYS_PER_STEP * MESSAGE_KEY_BYTES + CHAIN_KEY_BYTES;

/** The key of one blob. */
export interface MessageKey {
  counter: number;
  /** 32 bytes. */
  key: Uint8Array;
}

/** The keys of a session that have not been used, or what they follow from. The same at both ends. Never changed in place. */
export interface Chain {
  /** The first blob whose key has not been derived: a multiple of 8. */
  next: number;
  /** What the keys of blob `next`, and all after it, follow from. */
  chainKey: Uint8Array;
  /** Derived and not used, by counter: 512 at the most. */
  keys: readonly MessageKey[];
}

/**
 * One step of the hash ratchet: HKDF-SHA-256 (RFC 5869) of a chain key gives the keys of 8 blobs, and the next chain key. Nobody
 * finds any of them from another, nor the chain key from them.
 */
export function step(chainKey: Uint8Array): { messageKeys: Uint8Array[]; nextChainKey: Uint8Array } {
  const all = new Uint8Array(hkdfSync('sha256', chainKey, NO_SALT, CHAIN_STEP_INFO, STEP_BYTES));
  // Memory of their own: each is kept and overwritten by itself.
  const messageKeys = Array.from({ length: KEYS_PER_STEP }, (_, index) =>
    all.slice(index * MESSAGE_KEY_BYTES, (index + 1) * MESSAGE_KEY_BYTES),
  );
  const nextChainKey = all.slice(-CHAIN_KEY_BYTES);
  all.fill(0);
  return { messageKeys, nextChainKey };
}

/**
 * The key of a blob, and the chain without it; undefined when it was used. At most 64 steps.
 *
 * A key that is not in the chain given is to be overwritten by the caller once it has been used, one that is, by
 * `overwriteKeys`.
 */
export function keyOf(
  { next, chainKey, keys }: Chain,
  counter: number,
): { key: Uint8Array; chain: Chain } | undefined {
  const derived = [...keys];
  let from = next;
  let current = chainKey;
  while (from <= counter) {
    const { messageKeys, nextChainKey } = step(current);
    for (const key of messageKeys) derived.push({ counter: from++, key });
    if (current !== chainKey) current.fill(0);
    current = nextChainKey;
  }
  const index = derived.findIndex((each) => each.counter === counter);
  if (index === -1) return undefined;
  const [{ key }] = derived.splice(index, 1) as [MessageKey];
  return { key, chain: { next: from, chainKey: current, keys: derived } };
}

/**
 * Overwrites the keys of a chain that its successor does not hold. To be called once the successor is committed: until then
 * the old one is what there is.
 */
export function overwriteKeys(old: Chain, successor?: Chain): void {
  if (old.chainKey !== successor?.chainKey) old.chainKey.fill(0);
  const kept = new Set(successor?.keys.map(({ key }) => key));
  for (const { key } of old.keys) if (!kept.has(key)) key.fill(0);
}

/** A chain as fields of a state: 36 bytes, and 34 for each key. */
export function chainFields({ next, chainKey, keys }: Chain): Uint8Array[] {
  return [
    uint16(next),
    chainKey,
    uint16(keys.length),
    ...keys.flatMap(({ counter, key }) => [uint16(counter), key]),
  ];
}

/** @throws SessionStateError */
export function readChain(reader: StateReader): Chain {
  const next = reader.uint16();
  if (next > MAX_SESSION_BLOBS || next % KEYS_PER_STEP !== 0) {
    throw new SessionStateError(`a chain that ends at ${next}`);
  }
  const chainKey = reader.secret(CHAIN_KEY_BYTES);
  const keys: MessageKey[] = [];
  for (let left = reader.uint16(), before = -1; left > 0; left--) {
    const counter = reader.uint16();
    if (counter <= before || counter >= next) throw new SessionStateError('keys out of order');
    keys.push({ counter, key: reader.secret(MESSAGE_KEY_BYTES) });
    before = counter;
  }
  return { next, chainKey, keys };
}

/** Encrypts in place (RFC 8439) and writes the tag. */
export function encrypt(init: {
  key: Uint8Array;
  nonce: Uint8Array;
  header: Uint8Array;
  plaintext: Buffer;
  tag: Buffer;
}): void {
  const { key, nonce, header, plaintext, tag } = init;
  const cipher = createCipheriv(CIPHER, key, nonce, TAG);
  cipher.setAAD(header, { plaintextLength: plaintext.byteLength });
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  plaintext.set(ciphertext);
  tag.set(cipher.getAuthTag());
}

/** Decrypts; undefined when the tag is not right. */
export function decrypt(init: {
  key: Uint8Array;
  nonce: Uint8Array;
  header: Uint8Array;
  ciphertext: Uint8Array;
  tag: Uint8Array;
}): Buffer | undefined {
  const { key, nonce, header, ciphertext, tag } = init;
  const decipher = createDecipheriv(CIPHER, key, nonce, TAG);
  decipher.setAAD(header, { plaintextLength: ciphertext.byteLength });
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    return undefined;
  }
  return plaintext;
}
