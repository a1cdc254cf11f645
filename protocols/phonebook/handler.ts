import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Connection, Stream } from '@libp2p/interface';
import { serveRequests } from '../framing/request-response.ts';
import { statusOf } from './errors.ts';
import { decodeRequest } from './messages.ts';
import { AnswerSchema, Status } from './phonebook_pb.ts';
import type { Presence, Request } from './phonebook_pb.ts';
import { MAX_PAGE_ENTRIES, MAX_REQUEST_BYTES, STREAM_TIMEOUT_MS } from './protocol.ts';
import type { Decision, ListEntry, PhonebookDecisions, PresenceUpdate, Refusal } from './protocol.ts';

export interface PhonebookHandlerInit {
  decisions: PhonebookDecisions;
  /** The clock that answers carry. */
  nowMs: () => number;
  /** Ends all streams. */
  signal: AbortSignal;
  /** How long a stream may stay open, default 30 s. */
  streamTimeoutMs?: number;
}

/**
 * Serves `/phonebook/1.0.0`: decodes requests, asks `decisions`, encodes answers. Give it to
 * `registrar.handle(PHONEBOOK_PROTOCOL, …)`. Never rejects: a stream that breaks the protocol is aborted.
 */
export function phonebookHandler({
  decisions,
  nowMs,
  signal,
  streamTimeoutMs = STREAM_TIMEOUT_MS,
}: PhonebookHandlerInit): (stream: Stream, connection: Connection) => Promise<void> {
  return async (stream, connection) => {
    const peerId = connection.remotePeer.toString();
    const answer = async (frame: Uint8Array): Promise<Uint8Array> => {
      const body = await decide(decisions, peerId, decodeRequest(frame));
      return toBinary(AnswerSchema, create(AnswerSchema, { ...body, timeMs: BigInt(nowMs()) }));
    };
    await serveRequests(stream, answer, {
      maxFrameBytes: MAX_REQUEST_BYTES,
      signal: AbortSignal.any([signal, AbortSignal.timeout(streamTimeoutMs)]),
    });
  };
}

type AnswerInit = MessageInitShape<typeof AnswerSchema>;

async function decide(decisions: PhonebookDecisions, peerId: string, { body }: Request): Promise<AnswerInit> {
  switch (body.case) {
    case 'claim': {
      const presence = readPresence(body.value.presence);
      if ('status' in presence) return refusal(presence);
      return answered(await decisions.claim(peerId, body.value.proposal, presence), (claimed) => ({
        case: 'claimed',
        value: { certificate: claimed.certificate, intervalMs: BigInt(claimed.intervalMs) },
      }));
    }
    case 'renew': {
      const presence = readPresence(body.value.presence);
      if ('status' in presence) return refusal(presence);
      return answered(await decisions.renew(peerId, presence), ({ intervalMs, ownName }) => ({
        case: 'renewed',
        value: {
          intervalMs: BigInt(intervalMs),
          name: ownName?.name ?? '',
          seq: BigInt(ownName?.seq ?? 0),
          expiresMs: BigInt(ownName?.expiresMs ?? 0),
        },
      }));
    }
    case 'release': {
      const seq = readNumber(body.value.seq);
      if (seq === undefined) return refusal(malformed('seq is out of range'));
      return answered(await decisions.release(peerId, body.value.name, seq), () => ({ case: undefined }));
    }
    case 'resolve': {
      const { key } = body.value;
      if (key.case === undefined) return refusal(malformed('neither name nor peer_id is given'));
      const wanted = key.case === 'name' ? { name: key.value } : { peerId: key.value };
      return answered(await decisions.resolve(peerId, wanted), ({ row }) => ({
        case: 'resolved',
        value: {
          ...writeEntry(row),
          certificate: row.certificate ?? new Uint8Array(),
          peerRecord: row.peerRecord ?? new Uint8Array(),
          contactCard: row.contactCard ?? new Uint8Array(),
        },
      }));
    }
    case 'list': {
      const { onlineOnly, after } = body.value;
      const limit = body.value.limit === 0 ? MAX_PAGE_ENTRIES : body.value.limit;
      if (limit > MAX_PAGE_ENTRIES) return refusal(malformed(`limit is over ${MAX_PAGE_ENTRIES}`));
      return answered(await decisions.list(peerId, { onlineOnly, limit, after }), ({ page }) => ({
        case: 'listed',
        value: { entries: page.entries.map(writeEntry), next: page.next ?? '' },
      }));
    }
    case undefined:
      return refusal({ status: 'unsupported' });
  }
}

function answered<Result>(
  decision: Decision<Result>,
  encode: (result: { status: 'ok' } & Result) => NonNullable<AnswerInit['body']>,
): AnswerInit {
  return isRefusal(decision) ? refusal(decision) : { status: Status.OK, body: encode(decision) };
}

function isRefusal<Result>(decision: Decision<Result>): decision is Refusal {
  return decision.status !== 'ok';
}

function refusal({ status, detail, currentSeq, retryAfterMs, heldName }: Refusal): AnswerInit {
  return {
    status: statusOf(status),
    detail: detail ?? '',
    currentSeq: BigInt(currentSeq ?? 0),
    retryAfterMs: BigInt(Math.ceil(retryAfterMs ?? 0)),
    heldName: heldName ?? '',
  };
}

function malformed(detail: string): Refusal {
  return { status: 'malformed', detail };
}

function writeEntry({ peerId, name, online, lastSeenMs }: ListEntry): {
  peerId: string;
  name: string;
  online: boolean;
  lastSeenMs: bigint;
} {
  return { peerId, name: name ?? '', online, lastSeenMs: BigInt(lastSeenMs) };
}

function readPresence(presence: Presence | undefined): PresenceUpdate | Refusal {
  if (presence === undefined) return malformed('presence is missing');
  const timeMs = readNumber(presence.timeMs);
  if (timeMs === undefined) return malformed('time_ms is out of range');
  const { peerRecord, contactCard, listed } = presence;
  return { peerRecord, contactCard, listed, timeMs };
}

function readNumber(value: bigint): number | undefined {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}
