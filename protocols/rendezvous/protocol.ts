import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { InvalidMessageError } from '@libp2p/interface';
import { REFUSAL_STATUS, refusalCode } from './errors.ts';
import type { RendezvousRefusalCode } from './errors.ts';
import { RENDEZVOUS_LIMITS } from './limits.ts';
import {
  Message_MessageType as Type,
  Message_ResponseStatus as Status,
  MessageSchema,
} from './rendezvous_pb.ts';
import type { Message_Register, Message_ResponseStatus } from './rendezvous_pb.ts';

/** The libp2p rendezvous protocol. See README.md beside this file. */
export const RENDEZVOUS_PROTOCOL = '/rendezvous/1.0.0';

export interface RegisterRequest {
  type: 'register';
  namespace: string;
  signedPeerRecord: Uint8Array;
  /** The point's default when left out. */
  ttlSeconds?: number;
}

export interface UnregisterRequest {
  type: 'unregister';
  namespace: string;
}

export interface DiscoverRequest {
  type: 'discover';
  /** All namespaces when left out. */
  namespace?: string;
  /** The point's maximum when left out. */
  limit?: number;
  /** From an earlier answer: only registrations that were not in it. */
  cookie?: Uint8Array;
}

export type RendezvousRequest = RegisterRequest | UnregisterRequest | DiscoverRequest;

/** A registration as a rendezvous point hands it out. Nothing of it has been verified. */
export interface EncodedRegistration {
  namespace: string;
  signedPeerRecord: Uint8Array;
  /** How long it has left. */
  ttlSeconds: number;
}

interface Refused {
  refusal: RendezvousRefusalCode;
  reason: string;
}

export type RegisterResponse = { type: 'register-response' } & ({ ttlSeconds: number } | Refused);
export type DiscoverResponse = { type: 'discover-response' } & (
  | { registrations: EncodedRegistration[]; cookie: Uint8Array }
  | Refused
);
export type RendezvousResponse = RegisterResponse | DiscoverResponse;

type Wire = MessageInitShape<typeof MessageSchema>;

function encode(message: Wire): Uint8Array {
  return toBinary(MessageSchema, create(MessageSchema, message));
}

function decode(bytes: Uint8Array): ReturnType<typeof create<typeof MessageSchema>> {
  try {
    return fromBinary(MessageSchema, bytes);
  } catch (error) {
    throw new InvalidMessageError(`not a rendezvous message: ${(error as Error).message}`);
  }
}

/** A uint64 beyond what a number holds exactly is beyond every limit too; it stays so. */
function toNumber(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}

export function encodeRequest(request: RendezvousRequest): Uint8Array {
  switch (request.type) {
    case 'register':
      return encode({
        type: Type.REGISTER,
        register: {
          ns: request.namespace,
          signedPeerRecord: request.signedPeerRecord,
          ttl: request.ttlSeconds === undefined ? undefined : BigInt(request.ttlSeconds),
        },
      });
    case 'unregister':
      return encode({ type: Type.UNREGISTER, unregister: { ns: request.namespace } });
    case 'discover':
      return encode({
        type: Type.DISCOVER,
        discover: {
          ns: request.namespace,
          limit: request.limit === undefined ? undefined : BigInt(request.limit),
          cookie: request.cookie,
        },
      });
  }
}

/**
 * Decodes what a client sent. Fields that are missing come out empty: refusing them is a matter of status codes. For
 * `discover` an empty namespace, a limit of 0 and an empty cookie count as left out.
 *
 * @throws InvalidMessageError when it is not protobuf or not a request
 */
export function decodeRequest(bytes: Uint8Array): RendezvousRequest {
  const { type, register, unregister, discover } = decode(bytes);
  switch (type) {
    case Type.REGISTER: {
      const ttl = register?.ttl;
      return {
        type: 'register',
        namespace: register?.ns ?? '',
        signedPeerRecord: register?.signedPeerRecord ?? new Uint8Array(0),
        ...(ttl !== undefined && { ttlSeconds: toNumber(ttl) }),
      };
    }
    case Type.UNREGISTER:
      return { type: 'unregister', namespace: unregister?.ns ?? '' };
    case Type.DISCOVER: {
      const { ns, limit, cookie } = discover ?? {};
      return {
        type: 'discover',
        ...(ns !== undefined && ns !== '' && { namespace: ns }),
        ...(limit !== undefined && limit > 0n && { limit: toNumber(limit) }),
        ...(cookie !== undefined && cookie.byteLength > 0 && { cookie }),
      };
    }
    default:
      throw new InvalidMessageError('a rendezvous request must be REGISTER, UNREGISTER or DISCOVER');
  }
}

export function encodeResponse(response: RendezvousResponse): Uint8Array {
  const status =
    'refusal' in response
      ? { status: REFUSAL_STATUS[response.refusal], statusText: response.reason }
      : { status: Status.OK };
  if (response.type === 'register-response') {
    const ttl = 'ttlSeconds' in response ? BigInt(response.ttlSeconds) : undefined;
    return encode({ type: Type.REGISTER_RESPONSE, registerResponse: { ...status, ttl } });
  }
  if ('refusal' in response) return encode({ type: Type.DISCOVER_RESPONSE, discoverResponse: status });
  return encode({
    type: Type.DISCOVER_RESPONSE,
    discoverResponse: {
      ...status,
      cookie: response.cookie,
      registrations: response.registrations.map(({ namespace, signedPeerRecord, ttlSeconds }) => ({
        ns: namespace,
        signedPeerRecord,
        ttl: BigInt(ttlSeconds),
      })),
    },
  });
}

/** What a point says of a refusal is shown to people: a sentence, cut off here, in characters. */
const MAX_REASON_LENGTH = 200;

function refused(status: Message_ResponseStatus | undefined, text: string | undefined): Refused | undefined {
  const refusal = refusalCode(status ?? Status.OK);
  if (refusal === undefined) return undefined;
  return { refusal, reason: (text ?? '').slice(0, MAX_REASON_LENGTH).toWellFormed() };
}

function registration({ ns, signedPeerRecord, ttl }: Message_Register): EncodedRegistration {
  return {
    namespace: ns ?? '',
    signedPeerRecord: signedPeerRecord ?? new Uint8Array(0),
    ttlSeconds: toNumber(ttl ?? 0n),
  };
}

/**
 * Decodes what a rendezvous point answered.
 *
 * @throws InvalidMessageError when it is not protobuf, not an answer, has a status the spec does not know, or more
 * registrations than anybody may ask for
 */
export function decodeResponse(bytes: Uint8Array): RendezvousResponse {
  const { type, registerResponse, discoverResponse } = decode(bytes);
  switch (type) {
    case Type.REGISTER_RESPONSE:
      return {
        type: 'register-response',
        ...(refused(registerResponse?.status, registerResponse?.statusText) ?? {
          ttlSeconds: toNumber(registerResponse?.ttl ?? BigInt(RENDEZVOUS_LIMITS.defaultTtlSeconds)),
        }),
      };
    case Type.DISCOVER_RESPONSE: {
      const { registrations = [] } = discoverResponse ?? {};
      if (registrations.length > RENDEZVOUS_LIMITS.maxDiscoverLimit) {
        throw new InvalidMessageError(
          `over ${RENDEZVOUS_LIMITS.maxDiscoverLimit} registrations in one answer`,
        );
      }
      return {
        type: 'discover-response',
        ...(refused(discoverResponse?.status, discoverResponse?.statusText) ?? {
          registrations: registrations.map(registration),
          cookie: discoverResponse?.cookie ?? new Uint8Array(0),
        }),
      };
    }
    default:
      throw new InvalidMessageError('a rendezvous answer must be REGISTER_RESPONSE or DISCOVER_RESPONSE');
  }
}
