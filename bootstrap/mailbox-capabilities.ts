import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PeerId } from '@libp2p/interface';
import { openCapability } from '../protocols/mailbox/capability.ts';
import type { CapabilityError, CapabilityTimes } from '../protocols/mailbox/capability.ts';
import { peerIdFromBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import type { Deposit } from '../protocols/mailbox/protocol.ts';
import { keyOf } from './mailbox-batch.ts';
import { NO_CAPABILITY } from './mailbox-table.ts';

/** Capabilities that need not be looked at again, at some 700 bytes each: those of the pairs that wrote last. */
const REMEMBERED = 20_000;

/** Signatures checked in one go, at about 0.1 ms each: others wait meanwhile. */
const CHECKS_IN_ONE_GO = 20;

/** Signatures that were looked at, since the start. A capability that is known, or clearly none, takes none. */
export type CapabilityCounts = Record<'valid' | 'invalid', number>;

interface Remembered extends CapabilityTimes {
  capability: Uint8Array;
}

export interface CapabilityChecks {
  /**
   * When the capabilities of some deposits of one peer were issued; `NO_CAPABILITY` where there is none that holds. Checks at
   * most one signature a deposit: whoever bounds the deposits bounds the work.
   */
  issuedMs(
    depositor: PeerId,
    deposits: readonly Pick<Deposit, 'recipient' | 'capability'>[],
    nowMs: number,
  ): Promise<number[]>;
  counts(): CapabilityCounts;
}

/** Looks at capabilities, and remembers the valid ones. Those that are not can't push them out. */
export function capabilityChecks({
  remembered = REMEMBERED,
}: { remembered?: number } = {}): CapabilityChecks {
  /** By recipient and depositor. Ordered by last use. */
  const known = new Map<string, Remembered>();
  const counts: CapabilityCounts = { valid: 0, invalid: 0 };

  const remember = (key: string, entry: Remembered): void => {
    known.delete(key);
    known.set(key, entry);
    if (known.size > remembered) known.delete(known.keys().next().value!);
  };

  const check = async (
    key: string,
    { recipient, capability }: Pick<Deposit, 'recipient' | 'capability'>,
    depositor: PeerId,
    nowMs: number,
  ): Promise<number> => {
    const owner = peerIdFromBytes(recipient);
    if (owner === undefined) return NO_CAPABILITY;
    try {
      const times = await openCapability(capability, { recipient: owner, depositor, nowMs });
      counts.valid++;
      remember(key, { ...times, capability: new Uint8Array(capability) });
      return times.issuedMs;
    } catch (error) {
      if ((error as CapabilityError).code === 'bad-signature') counts.invalid++;
      return NO_CAPABILITY;
    }
  };

  return {
    async issuedMs(depositor, deposits, nowMs) {
      const suffix = depositor.toString();
      const issued: number[] = [];
      let before: Pick<Deposit, 'recipient' | 'capability'> | undefined;
      let checks = 0;
      for (const deposit of deposits) {
        const { recipient, capability } = deposit;
        const isSame =
          before?.capability === capability &&
          Buffer.from(
            before.recipient.buffer,
            before.recipient.byteOffset,
            before.recipient.byteLength,
          ).equals(recipient);
        before = deposit;
        if (isSame) {
          issued.push(issued.at(-1)!);
          continue;
        }
        if (capability.byteLength === 0) {
          issued.push(NO_CAPABILITY);
          continue;
        }
        const key = `${keyOf(recipient)} ${suffix}`;
        const entry = known.get(key);
        if (entry !== undefined && Buffer.from(entry.capability.buffer).equals(capability)) {
          remember(key, entry);
          issued.push(entry.expiresMs > nowMs ? entry.issuedMs : NO_CAPABILITY);
          continue;
        }
        if (++checks % CHECKS_IN_ONE_GO === 0) await nextTurn();
        issued.push(await check(key, deposit, depositor, nowMs));
      }
      return issued;
    },

    counts: () => ({ ...counts }),
  };
}
