import { BLOB_ID_BYTES } from '../protocols/mailbox/protocol.ts';
import type { Deposit } from '../protocols/mailbox/protocol.ts';
import { DEPOSIT_FIELDS } from './mailbox-table.ts';
import type { DepositBatch } from './mailbox-table.ts';

/** A deposit that may go into the store. */
export interface PassedDeposit {
  /** Its place among the deposits that were asked for together. */
  index: number;
  deposit: Deposit;
  /** When the depositor's capability was issued, `NO_CAPABILITY` without a valid one. */
  issuedMs: number;
}

/** Peer id bytes as a key of a map. */
export function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Packs deposits for the store's worker; `keys` stand beside `batch.recipients`. */
export function packDeposits(
  depositor: Uint8Array,
  passed: readonly PassedDeposit[],
  nowMs: number,
  latestExpiryMs: number,
): { batch: DepositBatch; keys: string[] } {
  const recipients: Uint8Array[] = [];
  const keys: string[] = [];
  const indexes = new Map<string, number>();
  const fields = new Float64Array(passed.length * DEPOSIT_FIELDS);
  let total = 0;
  for (const [i, { deposit, issuedMs }] of passed.entries()) {
    const key = keyOf(deposit.recipient);
    let recipient = indexes.get(key);
    if (recipient === undefined) {
      recipient = recipients.length;
      indexes.set(key, recipient);
      keys.push(key);
      // A copy: a view would take the whole network chunk along to the worker. (`slice` of a Buffer is a view.)
      recipients.push(new Uint8Array(deposit.recipient));
    }
    total += BLOB_ID_BYTES + deposit.blob.byteLength;
    fields[i * DEPOSIT_FIELDS] = recipient;
    fields[i * DEPOSIT_FIELDS + 1] = Math.min(deposit.expiresMs, latestExpiryMs);
    fields[i * DEPOSIT_FIELDS + 2] = total;
    fields[i * DEPOSIT_FIELDS + 3] = issuedMs;
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const { deposit } of passed) {
    bytes.set(deposit.blobId, at);
    bytes.set(deposit.blob, at + BLOB_ID_BYTES);
    at += BLOB_ID_BYTES + deposit.blob.byteLength;
  }
  return { batch: { nowMs, depositor, recipients, fields, bytes }, keys };
}
