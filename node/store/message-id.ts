import { randomFillSync } from 'node:crypto';
import { ID_BYTES } from '../../protocols/chat/message.ts';

/** Random bytes are drawn from the kernel a page at a time: one call for 400 ids. */
const POOL_BYTES = 4096;
const RANDOM_BYTES = 10;
const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/**
 * A new message id: a UUID version 7 (RFC 9562, section 5.7), 48 bits of time and 74 of randomness. The time in front
 * keeps the index on ids appending at its end; see docs/adr/0002-message-ids.md.
 */
export function newMessageId(nowMs: number): Uint8Array {
  if (used + RANDOM_BYTES > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const id = new Uint8Array(ID_BYTES);
  const high = Math.floor(nowMs / 0x10000);
  id[0] = high >>> 24;
  id[1] = high >>> 16;
  id[2] = high >>> 8;
  id[3] = high;
  id[4] = nowMs >>> 8;
  id[5] = nowMs;
  id.set(pool.subarray(used, used + RANDOM_BYTES), 6);
  used += RANDOM_BYTES;
  id[6] = (id[6]! & 0x0f) | 0x70;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return id;
}

/** The usual text form, 8-4-4-4-12 hexadecimal digits. `at` is where the id begins in `bytes`. */
export function formatMessageId(bytes: Uint8Array, at = 0): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + at, ID_BYTES).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The bytes behind the text form. */
export function parseMessageId(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}
