import type { PeerId } from '@libp2p/interface';
import { MAX_CAPABILITY_BYTES } from './protocol.ts';
import type { Deposit } from './protocol.ts';

/*
 * Many deposits for one recipient follow each other, so a capability is sent with the first of them only: a deposit without
 * one has that of the deposit before it on the stream, if that was for the same recipient.
 */

interface Presented {
  recipient: PeerId;
  capability?: Uint8Array;
}

/**
 * The depositor's side, for one stream: what is to be sent with the next deposit, undefined when nothing is.
 *
 * @example
 * ```ts
 * const capabilityToSend = presenter()
 * encodeDeposit({ …, capability: capabilityToSend({ recipient, capability }) })
 * ```
 */
export function presenter(): (next: Presented) => Uint8Array | undefined {
  let before: Presented | undefined;
  return (next) => {
    const { recipient, capability } = next;
    const again =
      capability !== undefined &&
      before?.capability !== undefined &&
      (before.recipient === recipient || before.recipient.equals(recipient)) &&
      (before.capability === capability || Buffer.from(before.capability).equals(capability));
    before = next;
    return again ? undefined : capability;
  };
}

/**
 * The mailbox's side, for one stream: fills in the capability that counts for each of some deposits that came together. Holds
 * some 300 bytes between them.
 */
export function presentedCapability(): (deposits: readonly Deposit[]) => void {
  let before: Pick<Deposit, 'recipient' | 'capability'> | undefined;
  return (deposits) => {
    for (const deposit of deposits) {
      const { byteLength } = deposit.capability;
      // What is too long is nobody's capability.
      if (byteLength > MAX_CAPABILITY_BYTES) before = undefined;
      else if (byteLength > 0) before = deposit;
      else if (before !== undefined && isSame(before.recipient, deposit.recipient)) {
        deposit.capability = before.capability;
      } else before = undefined;
    }
    if (before === undefined) return;
    // Copies: views would keep the whole network chunk in memory.
    before = {
      recipient: new Uint8Array(before.recipient),
      capability: new Uint8Array(before.capability),
    };
  };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || Buffer.compare(a, b) === 0;
}
