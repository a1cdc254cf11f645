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

/** The mailbox's side, for one stream: the next deposit with the capability that counts for it. Holds some 300 bytes. */
export function presentedCapability(): (deposit: Deposit) => Deposit {
  let before: { recipient: Buffer; capability: Uint8Array } | undefined;
  return (deposit) => {
    const { recipient, capability } = deposit;
    const { byteLength } = capability;
    if (byteLength === 0) {
      if (before?.recipient.equals(recipient) === true) return { ...deposit, capability: before.capability };
      before = undefined;
      return deposit;
    }
    // A copy: a view would keep the whole network chunk in memory. What is too long is nobody's capability.
    before =
      byteLength > MAX_CAPABILITY_BYTES
        ? undefined
        : { recipient: Buffer.from(recipient), capability: new Uint8Array(capability) };
    return before === undefined ? deposit : { ...deposit, capability: before.capability };
  };
}
