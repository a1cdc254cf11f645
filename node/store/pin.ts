import { StoreError } from '../../protocols/group-commit/operations.ts';

/** A name as it was first seen to belong to somebody. */
export interface Pin {
  name: string;
  phonebook: string;
  peer: string;
  seq: number;
  certificate: Uint8Array;
}

const UNREADABLE = "a pinned name can't be read";

/** A pin as it is sealed: JSON, the certificate in base64. */
export function encodePin({ name, phonebook, peer, seq, certificate }: Pin): Buffer {
  return Buffer.from(
    JSON.stringify([name, phonebook, peer, seq, Buffer.from(certificate).toString('base64')]),
  );
}

/** @throws StoreError `corrupt` */
export function decodePin(bytes: Uint8Array): Pin {
  let parts: unknown;
  try {
    parts = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new StoreError(UNREADABLE, 'corrupt', { cause: error });
  }
  if (!Array.isArray(parts)) throw new StoreError(UNREADABLE, 'corrupt');
  const [name, phonebook, peer, seq, certificate] = parts as unknown[];
  if (
    typeof name !== 'string' ||
    typeof phonebook !== 'string' ||
    typeof peer !== 'string' ||
    !isSeq(seq) ||
    typeof certificate !== 'string'
  )
    throw new StoreError(UNREADABLE, 'corrupt');
  return { name, phonebook, peer, seq, certificate: Uint8Array.from(Buffer.from(certificate, 'base64')) };
}

/** As certificates count: from 1. */
function isSeq(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
