import { InvalidMessageError } from '@libp2p/interface';
import { Message_ResponseStatus as Status } from './rendezvous_pb.ts';
import type { Message_ResponseStatus } from './rendezvous_pb.ts';

/** Why a rendezvous point did not do what it was asked: the refusals of the libp2p spec. */
export type RendezvousRefusalCode =
  | 'invalid-namespace'
  | 'invalid-signed-peer-record'
  | 'invalid-ttl'
  | 'invalid-cookie'
  | 'not-authorized'
  | 'internal-error'
  | 'unavailable';

/**
 * A rendezvous point said no.
 *
 * - `invalid-namespace`: missing, empty or over 255 bytes
 * - `invalid-signed-peer-record`: missing, too large, damaged or not signed by the peer it is about
 * - `invalid-ttl`: outside what the point allows
 * - `invalid-cookie`: from another point or for another namespace; discover again without it
 * - `not-authorized`: about another peer, or one registration too many
 * - `internal-error`: a fault of the point's
 * - `unavailable`: too busy or full; try later or elsewhere
 */
export class RendezvousRefusedError extends Error {
  override name = 'RendezvousRefusedError';
  readonly code: RendezvousRefusalCode;

  constructor(message: string, code: RendezvousRefusalCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * What a status on the wire means; `undefined` for OK.
 *
 * @throws InvalidMessageError for a status the spec does not know
 */
export function refusalCode(status: Message_ResponseStatus): RendezvousRefusalCode | undefined {
  switch (status) {
    case Status.OK:
      return undefined;
    case Status.E_INVALID_NAMESPACE:
      return 'invalid-namespace';
    case Status.E_INVALID_SIGNED_PEER_RECORD:
      return 'invalid-signed-peer-record';
    case Status.E_INVALID_TTL:
      return 'invalid-ttl';
    case Status.E_INVALID_COOKIE:
      return 'invalid-cookie';
    case Status.E_NOT_AUTHORIZED:
      return 'not-authorized';
    case Status.E_INTERNAL_ERROR:
      return 'internal-error';
    case Status.E_UNAVAILABLE:
      return 'unavailable';
    default:
      throw new InvalidMessageError(`rendezvous status ${Number(status)} is unknown`);
  }
}

/** The status each refusal travels as. */
export const REFUSAL_STATUS = {
  'invalid-namespace': Status.E_INVALID_NAMESPACE,
  'invalid-signed-peer-record': Status.E_INVALID_SIGNED_PEER_RECORD,
  'invalid-ttl': Status.E_INVALID_TTL,
  'invalid-cookie': Status.E_INVALID_COOKIE,
  'not-authorized': Status.E_NOT_AUTHORIZED,
  'internal-error': Status.E_INTERNAL_ERROR,
  unavailable: Status.E_UNAVAILABLE,
} as const satisfies Record<RendezvousRefusalCode, Message_ResponseStatus>;
