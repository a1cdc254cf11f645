import { messageHash } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import { encodeAck } from '../../protocols/chat/protocol.ts';
import type { Standing } from './standings.ts';

/** Of the message in a request, what it takes to answer its author. */
export interface Asked {
  chain: Uint8Array;
  counter: number;
  /** Its `messageHash`. */
  hash: Uint8Array;
  /** It came through a mailbox, and its author has not been answered yet. */
  owed: boolean;
}

/** The same as it is written to disk. Bytes are in base64. */
export interface KeptAsked {
  chain: string;
  counter: number;
  hash: string;
  owed: boolean;
}

export function askedIn(body: Uint8Array, { chain, counter }: ChatMessage, owed: boolean): Asked {
  return { chain, counter, hash: messageHash(body), owed };
}

/** The acknowledgement: the same whether the message waits for the user or was declined. */
export function ackOfAsked({ chain, counter, hash }: Asked): Uint8Array {
  return encodeAck(chain, [{ first: counter, last: counter }], () => hash);
}

export function keptAsked({ chain, counter, hash, owed }: Asked): KeptAsked {
  return {
    chain: Buffer.from(chain).toString('base64'),
    counter,
    hash: Buffer.from(hash).toString('base64'),
    owed,
  };
}

/** What was declined. Undefined when nothing was, or by a version that did not keep it. */
export function declinedIn({ decision }: Standing): Asked | undefined {
  if (decision?.kind !== 'declined' || decision.asked === undefined) return undefined;
  const { chain, counter, hash, owed } = decision.asked;
  return { chain: Buffer.from(chain, 'base64'), counter, hash: Buffer.from(hash, 'base64'), owed };
}
