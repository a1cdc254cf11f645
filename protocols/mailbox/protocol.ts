import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import {
  ClientFrameSchema,
  End_Reason,
  ServerFrameSchema,
  Status,
  type Answer as AnswerMessage,
  type ClientFrame as ClientFrameMessage,
  type ServerFrame as ServerFrameMessage,
} from './mailbox_pb.ts';
import { depositorsAnswerFrom, depositorsRequestFrom } from './depositors-frames.ts';
import type { DepositorsAnswer, DepositorsRequest } from './depositors-frames.ts';
import { prekeyAnswerFrom, prekeyRequestFrom } from './prekey-frames.ts';
import type { PrekeyAnswer, PrekeyRequest } from './prekey-frames.ts';
import { detailFromWire, timeFromWire } from './wire-values.ts';

export { End_Reason, Status };

/** Store and forward: blobs wait here for a peer that is away. */
export const MAILBOX_PROTOCOL = '/mailbox/1.0.0';

/** The largest blob, in bytes: the largest class to which sealed blobs are padded. */
export const MAX_BLOB_BYTES = 256 * 1024;

/** The largest frame read from a client: twice the largest blob, so that a near miss is told `too-large` and not cut off. */
export const MAX_CLIENT_FRAME_BYTES = 2 * MAX_BLOB_BYTES;

/** The largest frame read from a mailbox: one blob and its fields, or the answers to one batch. */
export const MAX_SERVER_FRAME_BYTES = MAX_BLOB_BYTES + 1024;

/** Answers in one frame at the most: at about 40 bytes each, such a frame is far below 64 KiB. */
const ANSWERS_PER_FRAME = 1000;

/** SHA-256. */
export const BLOB_ID_BYTES = 32;

/** What a depositor may send as a capability: about twice what one has today. Longer ones belong to nobody. */
export const MAX_CAPABILITY_BYTES = 256;

/** A request to keep a blob, as it came off the wire: no field is checked yet. */
export interface Deposit {
  seq: number;
  recipient: Uint8Array;
  blobId: Uint8Array;
  expiresMs: number;
  blob: Uint8Array;
  /** Empty when there is none, and when it is that of the deposit before it on the stream, for the same recipient. */
  capability: Uint8Array;
}

/** What became of one deposit. */
export interface Answer {
  status: Status;
  keptUntilMs: number;
  retryAfterMs: number;
  detail: string;
}

/** Consecutive deposits that were answered alike. */
export interface AnswerRun extends Answer {
  firstSeq: number;
  count: number;
}

/** A blob on its way to its recipient. */
export interface HeldBlob {
  /** Peer id bytes. */
  depositor: Uint8Array;
  depositedAtMs: number;
  blob: Uint8Array;
}

/** A decoded frame from the side that opened the stream. */
export type ClientFrame =
  | { type: 'deposit'; deposit: Deposit }
  | { type: 'collect' }
  | { type: 'acknowledge'; count: number }
  | PrekeyRequest
  | DepositorsRequest;

/** A decoded frame from the mailbox. */
export type ServerFrame =
  | { type: 'answers'; runs: AnswerRun[] }
  | { type: 'blob'; held: HeldBlob }
  | { type: 'end'; reason: End_Reason }
  | PrekeyAnswer
  | DepositorsAnswer;

const clientFrame = (body: ClientFrameMessage['body']): Uint8Array =>
  toBinary(ClientFrameSchema, create(ClientFrameSchema, { body }));

const serverFrame = (body: ServerFrameMessage['body']): Uint8Array =>
  toBinary(ServerFrameSchema, create(ServerFrameSchema, { body }));

export function encodeCollect(): Uint8Array {
  return clientFrame({ case: 'collect', value: { $typeName: 'tincan.mailbox.v1.Collect' } });
}

export function encodeAcknowledge(count: number): Uint8Array {
  return clientFrame({ case: 'acknowledge', value: { $typeName: 'tincan.mailbox.v1.Acknowledge', count } });
}

/**
 * Decodes a frame from a client. Its byte fields are views on `bytes`.
 *
 * @returns undefined for a body this version does not know
 * @throws InvalidMessageError when it is not a ClientFrame
 */
export function decodeClientFrame(bytes: Uint8Array): ClientFrame | undefined {
  const { body } = decoded(() => fromBinary(ClientFrameSchema, bytes));
  switch (body.case) {
    case 'deposit': {
      const { seq, recipient, blobId, expiresMs, blob, capability } = body.value;
      return {
        type: 'deposit',
        deposit: { seq, recipient, blobId, expiresMs: timeFromWire(expiresMs), blob, capability },
      };
    }
    case 'collect':
      return { type: 'collect' };
    case 'acknowledge':
      return { type: 'acknowledge', count: body.value.count };
    case 'publishPrekeys':
    case 'takePrekey':
    case 'countPrekeys':
      return prekeyRequestFrom(body);
    case 'setDepositors':
      return depositorsRequestFrom(body);
    case undefined:
      return undefined;
  }
}

const sameAnswer = (a: Answer, b: Answer): boolean =>
  a === b ||
  (a.status === b.status &&
    a.keptUntilMs === b.keptUntilMs &&
    a.retryAfterMs === b.retryAfterMs &&
    a.detail === b.detail);

/** The number after `seq`. */
export function nextSeq(seq: number): number {
  return (seq + 1) >>> 0;
}

/**
 * Joins neighbours with consecutive numbers and the same answer.
 *
 * @param seqs the numbers of the deposits, in the order of their answers
 */
export function answerRuns(seqs: readonly number[], answers: readonly Answer[]): AnswerRun[] {
  const runs: AnswerRun[] = [];
  let run: AnswerRun | undefined;
  let next = 0;
  for (let i = 0; i < answers.length; i++) {
    const answer = answers[i]!;
    const seq = seqs[i]!;
    if (run !== undefined && seq === next && sameAnswer(run, answer)) {
      run.count++;
    } else {
      run = { firstSeq: seq, count: 1, ...answer };
      runs.push(run);
    }
    next = nextSeq(seq);
  }
  return runs;
}

/** Encodes answers, as a rule into one frame. */
export function encodeAnswers(runs: readonly AnswerRun[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < runs.length; at += ANSWERS_PER_FRAME) {
    const answers: AnswerMessage[] = runs.slice(at, at + ANSWERS_PER_FRAME).map((run) => ({
      $typeName: 'tincan.mailbox.v1.Answer',
      firstSeq: run.firstSeq,
      count: run.count,
      status: run.status,
      keptUntilMs: BigInt(run.keptUntilMs),
      retryAfterMs: run.retryAfterMs,
      detail: run.detail,
    }));
    frames.push(serverFrame({ case: 'answers', value: { $typeName: 'tincan.mailbox.v1.Answers', answers } }));
  }
  return frames;
}

export function encodeEnd(reason: End_Reason): Uint8Array {
  return serverFrame({ case: 'end', value: { $typeName: 'tincan.mailbox.v1.End', reason } });
}

/**
 * Decodes a frame from a mailbox. Its byte fields are views on `bytes`.
 *
 * @returns undefined for a body this version does not know
 * @throws InvalidMessageError when it is not a ServerFrame, or its body misses what it is about
 */
export function decodeServerFrame(bytes: Uint8Array): ServerFrame | undefined {
  const { body } = decoded(() => fromBinary(ServerFrameSchema, bytes));
  switch (body.case) {
    case 'answers':
      return {
        type: 'answers',
        runs: body.value.answers.map(({ firstSeq, count, status, keptUntilMs, retryAfterMs, detail }) => ({
          firstSeq,
          count,
          status,
          keptUntilMs: timeFromWire(keptUntilMs),
          retryAfterMs,
          detail: detailFromWire(detail),
        })),
      };
    case 'blob': {
      const { depositor, depositedAtMs, blob } = body.value;
      return { type: 'blob', held: { depositor, depositedAtMs: timeFromWire(depositedAtMs), blob } };
    }
    case 'end':
      return { type: 'end', reason: body.value.reason };
    case 'prekeysPublished':
    case 'prekeyTaken':
    case 'prekeysCounted':
    case 'prekeysRefused':
      return prekeyAnswerFrom(body);
    case 'depositorsSet':
    case 'depositorsRefused':
      return depositorsAnswerFrom(body);
    case undefined:
      return undefined;
  }
}

function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new InvalidMessageError(`not a mailbox frame: ${(error as Error).message}`);
  }
}
