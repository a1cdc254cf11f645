import type { Deposit, HeldBlob } from './protocol.ts';

/*
 * The two frames that carry blobs are written by hand, into one buffer of the right size: the general encoder grows its
 * buffer step by step and copies it at the end, which took a quarter of a depositor's time. Tests hold them to mailbox.proto
 * by decoding what they write.
 */

/** Protobuf wire types (https://protobuf.dev/programming-guides/encoding/). */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

const NO_BYTES = new Uint8Array(0);

/** Encodes a ClientFrame with a deposit in it. */
export function encodeDeposit({
  seq,
  recipient,
  blobId,
  expiresMs,
  blob,
  capability = NO_BYTES,
}: Omit<Deposit, 'capability'> & Partial<Pick<Deposit, 'capability'>>): Uint8Array {
  const size =
    numberSize(seq) +
    bytesSize(recipient) +
    bytesSize(blobId) +
    numberSize(expiresMs) +
    bytesSize(blob) +
    bytesSize(capability);
  const out = Buffer.allocUnsafe(1 + varintSize(size) + size);
  let at = putLength(out, 0, 1, size);
  at = putNumber(out, at, 1, seq);
  at = putBytes(out, at, 2, recipient);
  at = putBytes(out, at, 3, blobId);
  at = putNumber(out, at, 4, expiresMs);
  at = putBytes(out, at, 5, blob);
  putBytes(out, at, 6, capability);
  return out;
}

/** Encodes a ServerFrame with a blob in it. */
export function encodeBlob({ depositor, depositedAtMs, blob }: HeldBlob): Uint8Array {
  const size = bytesSize(depositor) + numberSize(depositedAtMs) + bytesSize(blob);
  const out = Buffer.allocUnsafe(1 + varintSize(size) + size);
  let at = putLength(out, 0, 2, size);
  at = putBytes(out, at, 1, depositor);
  at = putNumber(out, at, 2, depositedAtMs);
  putBytes(out, at, 3, blob);
  return out;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Fields at their default are left out, as proto3 wants it. */
const numberSize = (value: number): number => (value === 0 ? 0 : 1 + varintSize(value));
const bytesSize = ({ byteLength }: Uint8Array): number =>
  byteLength === 0 ? 0 : 1 + varintSize(byteLength) + byteLength;

function putVarint(out: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  // Not with bit operators: they would cut times to 32 bits.
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out[at++] = (rest % 0x80) | 0x80;
  out[at++] = rest;
  return at;
}

function putNumber(out: Uint8Array, at: number, field: number, value: number): number {
  if (value === 0) return at;
  out[at] = (field << 3) | VARINT;
  return putVarint(out, at + 1, value);
}

function putLength(out: Uint8Array, at: number, field: number, length: number): number {
  out[at] = (field << 3) | LENGTH_DELIMITED;
  return putVarint(out, at + 1, length);
}

function putBytes(out: Uint8Array, at: number, field: number, bytes: Uint8Array): number {
  if (bytes.byteLength === 0) return at;
  const start = putLength(out, at, field, bytes.byteLength);
  out.set(bytes, start);
  return start + bytes.byteLength;
}
