import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { ClientFrameSchema, DepositorsRefused_Reason, ServerFrameSchema } from './mailbox_pb.ts';
import type { ClientFrame, ServerFrame } from './mailbox_pb.ts';
import { detailFromWire, timeFromWire } from './wire-values.ts';

export { DepositorsRefused_Reason };

/** Depositors that one owner may block at a mailbox, and those that one request may name, of either kind. */
export const MAX_BLOCKED_DEPOSITORS = 1000;

/** What an owner says about depositors. It came off the wire: no field is checked yet. */
export interface DepositorsChange {
  /** Peer id bytes. */
  block: readonly Uint8Array[];
  /** Peer id bytes. */
  unblock: readonly Uint8Array[];
  /** Capabilities issued until then are void for those in `block`. By the owner's clock, milliseconds since 1970. */
  atMs: number;
}

/** A request on a depositors stream. */
export interface DepositorsRequest {
  type: 'set-depositors';
  change: DepositorsChange;
}

/** The change is on disk. */
export interface DepositorsSetAnswer {
  type: 'depositors-set';
  /** Depositors that are refused for the owner now. */
  blocked: number;
}

/** Why a request was not done. */
export interface DepositorsRefusal {
  type: 'depositors-refused';
  reason: DepositorsRefused_Reason;
  retryAfterMs: number;
  detail: string;
}

/** The answer to a request on a depositors stream. */
export type DepositorsAnswer = DepositorsSetAnswer | DepositorsRefusal;

type RequestBody = Extract<ClientFrame['body'], { case: 'setDepositors' }>;
type AnswerBody = Extract<ServerFrame['body'], { case: 'depositorsSet' | 'depositorsRefused' }>;

/** Encodes a ClientFrame with a request about depositors in it. */
export function encodeDepositorsRequest({ change: { block, unblock, atMs } }: DepositorsRequest): Uint8Array {
  const value = { block: [...block], unblock: [...unblock], atMs: BigInt(atMs) };
  return toBinary(ClientFrameSchema, create(ClientFrameSchema, { body: { case: 'setDepositors', value } }));
}

/** What a ClientFrame's body about depositors asks for. */
export function depositorsRequestFrom({ value: { block, unblock, atMs } }: RequestBody): DepositorsRequest {
  return { type: 'set-depositors', change: { block, unblock, atMs: timeFromWire(atMs) } };
}

/** Encodes a ServerFrame with an answer about depositors in it. */
export function encodeDepositorsAnswer(answer: DepositorsAnswer): Uint8Array {
  return toBinary(ServerFrameSchema, create(ServerFrameSchema, { body: answerToWire(answer) }));
}

function answerToWire(
  answer: DepositorsAnswer,
): NonNullable<MessageInitShape<typeof ServerFrameSchema>['body']> {
  if (answer.type === 'depositors-set') return { case: 'depositorsSet', value: { blocked: answer.blocked } };
  const { reason, retryAfterMs, detail } = answer;
  return { case: 'depositorsRefused', value: { reason, retryAfterMs, detail } };
}

/** What a ServerFrame's body about depositors answers. */
export function depositorsAnswerFrom(body: AnswerBody): DepositorsAnswer {
  if (body.case === 'depositorsSet') return { type: 'depositors-set', blocked: body.value.blocked };
  const { reason, retryAfterMs, detail } = body.value;
  return { type: 'depositors-refused', reason, retryAfterMs, detail: detailFromWire(detail) };
}
