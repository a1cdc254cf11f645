import { hash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import { MessageSchema } from './chat_pb.ts';
import { CHAT_LIMITS, HASH_BYTES, safeCounter } from './protocol.ts';

/** Bytes of a message id (a UUID), and of a chain. */
export const ID_BYTES = 16;
export const CHAIN_BYTES = 8;

/** What a person wrote, with all its author says about it. Times are milliseconds since 1970. */
export interface ChatMessage {
  id: Uint8Array;
  chain: Uint8Array;
  counter: number;
  /** `messageHash` of the message with the counter before; empty for counter 1. */
  previous: Uint8Array;
  clockMs: number;
  clockCount: number;
  sentAtMs: number;
  text: string;
}

/** A message whose frame was whole but whose content this node will never accept. */
export class UnacceptableMessageError extends InvalidMessageError {
  override name = 'UnacceptableMessageError';
  readonly code: 'malformed' | 'too-large';
  /** Where to send the refusal, if that much could be read. */
  readonly position: { chain: Uint8Array; counter: number } | undefined;

  constructor(
    message: string,
    code: 'malformed' | 'too-large',
    position: { chain: Uint8Array; counter: number } | undefined,
  ) {
    super(message);
    this.code = code;
    this.position = position;
  }
}

export function encodeMessage(message: ChatMessage): Uint8Array {
  return toBinary(
    MessageSchema,
    create(MessageSchema, {
      id: message.id,
      chain: message.chain,
      counter: BigInt(message.counter),
      previous: message.previous,
      clockMs: BigInt(message.clockMs),
      clockCount: message.clockCount,
      sentAtMs: BigInt(message.sentAtMs),
      content: { body: { case: 'text', value: message.text } },
    }),
  );
}

/**
 * Decodes and checks a message from outside.
 *
 * @throws UnacceptableMessageError for anything this node can't accept, with the reason its sender is told
 */
export function decodeMessage(bytes: Uint8Array): ChatMessage {
  let message;
  try {
    message = fromBinary(MessageSchema, bytes);
  } catch (error) {
    throw new UnacceptableMessageError(`not a message: ${(error as Error).message}`, 'malformed', undefined);
  }
  const { id, chain, previous, clockCount, content } = message;
  if (chain.byteLength !== CHAIN_BYTES) {
    throw new UnacceptableMessageError(`chain must have ${CHAIN_BYTES} bytes`, 'malformed', undefined);
  }
  let counter: number;
  try {
    counter = safeCounter(message.counter);
  } catch (error) {
    throw new UnacceptableMessageError((error as Error).message, 'malformed', undefined);
  }
  const refuse = (reason: string, code: 'malformed' | 'too-large' = 'malformed'): never => {
    throw new UnacceptableMessageError(reason, code, { chain, counter });
  };
  if (id.byteLength !== ID_BYTES) refuse(`id must have ${ID_BYTES} bytes`);
  if (message.conversation.byteLength !== 0) refuse('conversation is not one this version knows');
  if (previous.byteLength !== (counter === 1 ? 0 : HASH_BYTES)) refuse('previous has the wrong length');
  if (content?.body.case !== 'text') return refuse('content is not of a kind this version knows');
  const text = content.body.value;
  if (text.length === 0) refuse('text is empty');
  // A UTF-16 unit takes three bytes of UTF-8 at the most, so a short text needs no count.
  if (text.length * 3 > CHAT_LIMITS.maxTextBytes && Buffer.byteLength(text) > CHAT_LIMITS.maxTextBytes) {
    refuse(`text is over ${CHAT_LIMITS.maxTextBytes} bytes`, 'too-large');
  }
  const clockMs = Number(message.clockMs);
  const sentAtMs = Number(message.sentAtMs);
  if (clockMs > MAX_TIME_MS || sentAtMs > MAX_TIME_MS) refuse('a time is out of range');
  return { id, chain, counter, previous, clockMs, clockCount, sentAtMs, text };
}

/** The last millisecond a JavaScript Date can hold. */
const MAX_TIME_MS = 8_640_000_000_000_000;

/** What the next message of the chain names as its `previous`. */
export function messageHash(encoded: Uint8Array): Uint8Array {
  return hash('sha256', encoded, 'buffer');
}
