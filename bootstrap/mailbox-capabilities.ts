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
  capability: Buffer;
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

/** By depositor, then by recipient. */
type Known = Map<string, Map<string, Remembered>>;

/** Looks at capabilities, and remembers the valid ones. Those that are not can't push them out. */
export function capabilityChecks({
  remembered = REMEMBERED,
}: { remembered?: number } = {}): CapabilityChecks {
  /** What was used since the last turn-over, and what was used before that: the second is forgotten at the next. */
  let recent: Known = new Map();
  let older: Known = new Map();
  let size = 0;
  const counts: CapabilityCounts = { valid: 0, invalid: 0 };

  const remember = (depositor: string, recipient: string, entry: Remembered): void => {
    if (size >= remembered / 2) {
      older = recent;
      recent = new Map();
      size = 0;
    }
    const ofDepositor = recent.get(depositor) ?? new Map<string, Remembered>();
    if (!ofDepositor.has(recipient)) size++;
    ofDepositor.set(recipient, entry);
    recent.set(depositor, ofDepositor);
  };

  const find = (depositor: string, recipient: string): Remembered | undefined => {
    const used = recent.get(depositor)?.get(recipient);
    if (used !== undefined) return used;
    const entry = older.get(depositor)?.get(recipient);
    if (entry !== undefined) remember(depositor, recipient, entry);
    return entry;
  };

  const check = async (
    { recipient, capability }: Pick<Deposit, 'recipient' | 'capability'>,
    depositor: PeerId,
    nowMs: number,
  ): Promise<number> => {
    const owner = peerIdFromBytes(recipient);
    if (owner === undefined) return NO_CAPABILITY;
    try {
      const times = await openCapability(capability, { recipient: owner, depositor, nowMs });
      counts.valid++;
      remember(depositor.toString(), keyOf(recipient), { ...times, capability: Buffer.from(capability) });
      return times.issuedMs;
    } catch (error) {
      if ((error as CapabilityError).code === 'bad-signature') counts.invalid++;
      return NO_CAPABILITY;
    }
  };

  return {
    async issuedMs(depositor, deposits, nowMs) {
      const from = depositor.toString();
      const issued: number[] = [];
      let before: Pick<Deposit, 'recipient' | 'capability'> | undefined;
      let checks = 0;
      for (const deposit of deposits) {
        const { recipient, capability } = deposit;
        if (before?.capability === capability && Buffer.compare(before.recipient, recipient) === 0) {
          issued.push(issued.at(-1)!);
          continue;
        }
        before = deposit;
        if (capability.byteLength === 0) {
          issued.push(NO_CAPABILITY);
          continue;
        }
        const known = find(from, keyOf(recipient));
        if (known?.capability.equals(capability) === true) {
          issued.push(known.expiresMs > nowMs ? known.issuedMs : NO_CAPABILITY);
          continue;
        }
        if (++checks % CHECKS_IN_ONE_GO === 0) await nextTurn();
        issued.push(await check(deposit, depositor, nowMs));
      }
      return issued;
    },

    counts: () => ({ ...counts }),
  };
}
