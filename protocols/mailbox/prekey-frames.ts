import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import { ClientFrameSchema, PrekeySchema, PrekeysRefused_Reason, ServerFrameSchema } from './mailbox_pb.ts';
import type {
  ClientFrame,
  Prekey,
  PrekeysCounted,
  PrekeysRefused,
  PrekeyTaken,
  PublishPrekeys,
  ServerFrame,
} from './mailbox_pb.ts';
import { detailFromWire, timeFromWire } from './wire-values.ts';

export { PrekeysRefused_Reason };

/** Enough to be drawn at random, or for the beginning of a hash of the key. */
export const PREKEY_ID_BYTES = 16;

/** The largest prekey. A public key of X-Wing has 1,216 bytes, a signature 64; the rest is room for what is to come. */
export const MAX_PREKEY_BYTES = 2048;

/** One-time prekeys of one owner at a mailbox: first messages of a hundred strangers between two visits. */
export const MAX_ONE_TIME_PREKEYS = 100;

/** A prekey as a mailbox has it. It came off the wire: no field is checked yet. */
export interface HeldPrekey {
  /** 16 bytes. */
  id: Uint8Array;
  /** Milliseconds since 1970 after which it is not handed out any more. */
  expiresMs: number;
  /** At most 2 KiB. */
  prekey: Uint8Array;
}

/** What an owner leaves at a mailbox. */
export interface Publication {
  oneTime: readonly HeldPrekey[];
  /** Undefined when the one that is there is to stay. */
  lastResort: HeldPrekey | undefined;
  /** Everything that is held for the owner goes first. */
  replace: boolean;
}

/** A request on a prekey stream. */
export type PrekeyRequest =
  | { type: 'publish-prekeys'; publication: Publication }
  | { type: 'take-prekey'; recipient: Uint8Array }
  | { type: 'count-prekeys' };

/** What a publication led to. */
export interface PrekeysPublishedAnswer {
  type: 'prekeys-published';
  left: number;
}

/** What somebody took. */
export interface PrekeyTakenAnswer {
  type: 'prekey-taken';
  prekey: HeldPrekey;
  lastResort: boolean;
}

/** What is held for its owner. */
export interface PrekeysCountedAnswer {
  type: 'prekeys-counted';
  oneTimeIds: readonly Uint8Array[];
  lastResortId: Uint8Array | undefined;
}

/** Why a request was not done. */
export interface PrekeyRefusal {
  type: 'prekeys-refused';
  reason: PrekeysRefused_Reason;
  retryAfterMs: number;
  detail: string;
}

/** The answer to a request on a prekey stream. */
export type PrekeyAnswer = PrekeysPublishedAnswer | PrekeyTakenAnswer | PrekeysCountedAnswer | PrekeyRefusal;

/** The bodies of frames that are about prekeys. */
type RequestBody = Extract<ClientFrame['body'], { case: 'publishPrekeys' | 'takePrekey' | 'countPrekeys' }>;
type AnswerBody = Extract<
  ServerFrame['body'],
  { case: 'prekeysPublished' | 'prekeyTaken' | 'prekeysCounted' | 'prekeysRefused' }
>;

function prekeyToWire({ id, expiresMs, prekey }: HeldPrekey): Prekey {
  return create(PrekeySchema, { id, expiresMs: BigInt(expiresMs), prekey });
}

function prekeyFromWire({ id, expiresMs, prekey }: Prekey): HeldPrekey {
  return { id, expiresMs: timeFromWire(expiresMs), prekey };
}

function requestToWire(
  request: PrekeyRequest,
): NonNullable<MessageInitShape<typeof ClientFrameSchema>['body']> {
  switch (request.type) {
    case 'publish-prekeys': {
      const { oneTime, lastResort, replace } = request.publication;
      const value = {
        oneTime: oneTime.map(prekeyToWire),
        replace,
        ...(lastResort !== undefined && { lastResort: prekeyToWire(lastResort) }),
      };
      return { case: 'publishPrekeys', value };
    }
    case 'take-prekey':
      return { case: 'takePrekey', value: { recipient: request.recipient } };
    case 'count-prekeys':
      return { case: 'countPrekeys', value: {} };
  }
}

/** Encodes a ClientFrame with a request about prekeys in it. */
export function encodePrekeyRequest(request: PrekeyRequest): Uint8Array {
  return toBinary(ClientFrameSchema, create(ClientFrameSchema, { body: requestToWire(request) }));
}

function publicationFromWire({ oneTime, lastResort, replace }: PublishPrekeys): Publication {
  return {
    oneTime: oneTime.map(prekeyFromWire),
    lastResort: lastResort === undefined ? undefined : prekeyFromWire(lastResort),
    replace,
  };
}

/** What a ClientFrame's body about prekeys asks for. */
export function prekeyRequestFrom(body: RequestBody): PrekeyRequest {
  switch (body.case) {
    case 'publishPrekeys':
      return { type: 'publish-prekeys', publication: publicationFromWire(body.value) };
    case 'takePrekey':
      return { type: 'take-prekey', recipient: body.value.recipient };
    case 'countPrekeys':
      return { type: 'count-prekeys' };
  }
}

function answerToWire(answer: PrekeyAnswer): NonNullable<MessageInitShape<typeof ServerFrameSchema>['body']> {
  switch (answer.type) {
    case 'prekeys-published':
      return { case: 'prekeysPublished', value: { left: answer.left } };
    case 'prekey-taken': {
      const { prekey, lastResort } = answer;
      return { case: 'prekeyTaken', value: { prekey: prekeyToWire(prekey), lastResort } };
    }
    case 'prekeys-counted': {
      const oneTimeIds = Buffer.concat(answer.oneTimeIds);
      const { lastResortId = new Uint8Array(0) } = answer;
      return { case: 'prekeysCounted', value: { oneTimeIds, lastResortId } };
    }
    case 'prekeys-refused': {
      const { reason, retryAfterMs, detail } = answer;
      return { case: 'prekeysRefused', value: { reason, retryAfterMs, detail } };
    }
  }
}

/** Encodes a ServerFrame with an answer about prekeys in it. */
export function encodePrekeyAnswer(answer: PrekeyAnswer): Uint8Array {
  return toBinary(ServerFrameSchema, create(ServerFrameSchema, { body: answerToWire(answer) }));
}

function takenFromWire({ prekey, lastResort }: PrekeyTaken): PrekeyTakenAnswer {
  if (prekey === undefined) throw new InvalidMessageError('prekey: missing');
  return { type: 'prekey-taken', prekey: prekeyFromWire(prekey), lastResort };
}

function countedFromWire({ oneTimeIds: ids, lastResortId }: PrekeysCounted): PrekeysCountedAnswer {
  if (ids.byteLength % PREKEY_ID_BYTES !== 0) {
    throw new InvalidMessageError(
      `one_time_ids: ${ids.byteLength} bytes are no ids of ${PREKEY_ID_BYTES} each`,
    );
  }
  const oneTimeIds: Uint8Array[] = [];
  for (let at = 0; at < ids.byteLength; at += PREKEY_ID_BYTES) {
    oneTimeIds.push(ids.subarray(at, at + PREKEY_ID_BYTES));
  }
  return {
    type: 'prekeys-counted',
    oneTimeIds,
    lastResortId: lastResortId.byteLength === 0 ? undefined : lastResortId,
  };
}

function refusalFromWire({ reason, retryAfterMs, detail }: PrekeysRefused): PrekeyRefusal {
  return { type: 'prekeys-refused', reason, retryAfterMs, detail: detailFromWire(detail) };
}

/**
 * What a ServerFrame's body about prekeys answers.
 *
 * @throws InvalidMessageError when it answers nothing
 */
export function prekeyAnswerFrom(body: AnswerBody): PrekeyAnswer {
  switch (body.case) {
    case 'prekeysPublished':
      return { type: 'prekeys-published', left: body.value.left };
    case 'prekeyTaken':
      return takenFromWire(body.value);
    case 'prekeysCounted':
      return countedFromWire(body.value);
    case 'prekeysRefused':
      return refusalFromWire(body.value);
  }
}
