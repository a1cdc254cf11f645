import { InvalidMessageError, TimeoutError } from '@libp2p/interface';
import type { Hello } from './chat_pb.ts';
import { Refusal_Reason } from './chat_pb.ts';
import { SESSION_ID_BYTES } from '../mailbox/sealed.ts';
import { CHAIN_BYTES, ID_BYTES } from './message.ts';
import { ackedRanges, CHAT_LIMITS, decodeFrame, givenHash, safeCounter } from './protocol.ts';
import type { AckedRange, HelloFields, NotedSessions } from './protocol.ts';

export type RefusalReason = 'malformed' | 'conflict' | 'too-large' | 'stranger' | 'refused';

/** What a node does about what another tells it. Peers are peer ids; nothing here sees a stream. */
export interface ChatDecisions {
  /** What this node says of itself when a stream opens. */
  hello(peer: string): HelloFields;
  /** The other end said who it is. */
  greeted(peer: string, hello: Hello): void;
  /** Acknowledgements (encoded frames) of everything held from the peer, for a stream that opens. */
  held(peer: string): Promise<Uint8Array[]>;
  /** Commits encoded Messages, in order; resolves with the frames to answer with, which include the acknowledgements. */
  receive(peer: string, messages: Uint8Array[]): Promise<Uint8Array[]>;
  /** The peer has committed these of ours. @throws InvalidMessageError when that can't be, and nothing is to be done */
  acked(peer: string, ack: AckDetails): Promise<void>;
  /** The peer will never accept this one of ours. */
  refused(peer: string, chain: Uint8Array, counter: number, reason: RefusalReason): Promise<void>;
  /** The peer's person has read ours up to here; `hash` is that of the last one, empty when not given. */
  receipt(peer: string, chain: Uint8Array, readUpTo: number, hash: Uint8Array): Promise<void>;
  /** What became of sealed sessions to the peer. */
  sessionNotice(peer: string, sessions: NotedSessions): Promise<void>;
  /** The peer wants prekeys of ours; resolves with the frames to answer with. */
  prekeysWanted(peer: string): Promise<Uint8Array[]>;
  /** Prekeys of the peer, as it signed them, or says it did. */
  prekeys(peer: string, prekeys: Uint8Array[]): Promise<void>;
  /** The peer shows a token out of an invite of ours. */
  inviteToken(peer: string, token: Uint8Array): Promise<void>;
  /** What we show to the peer's mailbox. */
  depositCapability(peer: string, capability: Uint8Array): Promise<void>;
  /** Our first message waits for the peer's person to accept us; no more is taken until then. */
  pending(peer: string): Promise<void>;
}

/** What a peer acknowledges of one chain. */
export interface AckDetails {
  chain: Uint8Array;
  ranges: AckedRange[];
  /** It answers our hello: so what it does not name, the peer does not have. */
  opening: boolean;
}

/** A batch of frames, sorted by what is to be done about them. */
export interface SortedFrames {
  /** The hello, if the batch begins with one. */
  hello: Hello | undefined;
  messages: Uint8Array[];
  /**
   * Runs everything but the messages. `opening`: these frames came along with the answer to our hello.
   *
   * @returns the frames to answer with
   */
  tell: (decisions: ChatDecisions, peer: string, options?: { opening: boolean }) => Promise<Uint8Array[]>;
}

/** An id, a chain and a counter, with their tags and lengths: no message is shorter. */
const MIN_MESSAGE_BYTES = 2 + ID_BYTES + 2 + CHAIN_BYTES + 2;

function reasonOf(reason: Refusal_Reason): RefusalReason {
  switch (reason) {
    case Refusal_Reason.MALFORMED:
      return 'malformed';
    case Refusal_Reason.CONFLICT:
      return 'conflict';
    case Refusal_Reason.TOO_LARGE:
      return 'too-large';
    case Refusal_Reason.STRANGER:
      return 'stranger';
    default:
      return 'refused';
  }
}

/** A copy: what was decoded is a view on a chunk, and would go to another thread with all of the chunk. */
function chainOf(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength !== CHAIN_BYTES)
    throw new InvalidMessageError(`a chain must have ${CHAIN_BYTES} bytes`);
  return new Uint8Array(bytes);
}

/** @throws InvalidMessageError for too many of them, or what is no id */
function sessionIds(ids: readonly Uint8Array[]): Uint8Array[] {
  if (ids.length > CHAT_LIMITS.maxNotedSessions)
    throw new InvalidMessageError(`a notice names more than ${CHAT_LIMITS.maxNotedSessions} sessions`);
  return ids.map((id) => {
    if (id.byteLength !== SESSION_ID_BYTES)
      throw new InvalidMessageError(`the id of a session must have ${SESSION_ID_BYTES} bytes`);
    return new Uint8Array(id);
  });
}

/** A copy. @throws InvalidMessageError when it is empty or too long */
function atMost(bytes: Uint8Array, max: number, what: string): Uint8Array {
  if (bytes.byteLength === 0 || bytes.byteLength > max)
    throw new InvalidMessageError(`${what} must have 1 to ${max} bytes`);
  return new Uint8Array(bytes);
}

/**
 * Decodes and sorts a batch. Acknowledgements are cumulative, so of several for one chain only the last is kept.
 * Frames of a kind not known here, and messages that lack what names them, are passed over.
 *
 * @throws InvalidMessageError for what is no frame, or one whose numbers make no sense
 */
export function sortFrames(batch: readonly Uint8Array[]): SortedFrames {
  let hello: Hello | undefined;
  const messages: Uint8Array[] = [];
  const acks = new Map<string, { chain: Uint8Array; ranges: AckedRange[] }>();
  const others: ((decisions: ChatDecisions, peer: string) => Promise<Uint8Array[] | void>)[] = [];
  let wantsPrekeys = false;
  // Of these the last one of a batch counts: each costs more to look at than to write.
  let token: Uint8Array | undefined;
  let capability: Uint8Array | undefined;
  let isPending = false;
  for (const bytes of batch) {
    const { body } = decodeFrame(bytes);
    switch (body.case) {
      case 'hello':
        if (body.value.features.length > CHAT_LIMITS.maxFeatures)
          throw new InvalidMessageError(`a hello names more than ${CHAT_LIMITS.maxFeatures} features`);
        if (bytes === batch[0]) hello = body.value;
        break;
      case 'message':
        // Of a shorter one there would be nothing to answer, and finding that out later costs as much as ten good ones.
        if (body.value.byteLength >= MIN_MESSAGE_BYTES) messages.push(body.value);
        break;
      case 'ack': {
        const chain = chainOf(body.value.chain);
        acks.set(Buffer.from(chain.buffer).toString('hex'), { chain, ranges: ackedRanges(body.value) });
        break;
      }
      case 'refusal': {
        const { counter, reason } = body.value;
        const chain = chainOf(body.value.chain);
        const refused = safeCounter(counter);
        others.push((decisions, peer) => decisions.refused(peer, chain, refused, reasonOf(reason)));
        break;
      }
      case 'receipt': {
        const chain = chainOf(body.value.chain);
        const upTo = safeCounter(body.value.readUpTo);
        const hash = givenHash(body.value.hash);
        others.push((decisions, peer) => decisions.receipt(peer, chain, upTo, hash));
        break;
      }
      case 'sessionNotice': {
        const sessions = { opened: sessionIds(body.value.opened), lost: sessionIds(body.value.lost) };
        others.push((decisions, peer) => decisions.sessionNotice(peer, sessions));
        break;
      }
      case 'prekeysWanted':
        wantsPrekeys = true;
        break;
      case 'prekeys': {
        if (body.value.prekeys.length > CHAT_LIMITS.maxPrekeys)
          throw new InvalidMessageError(`a frame has more than ${CHAT_LIMITS.maxPrekeys} prekeys`);
        const prekeys = body.value.prekeys.map((prekey) => new Uint8Array(prekey));
        others.push((decisions, peer) => decisions.prekeys(peer, prekeys));
        break;
      }
      case 'inviteToken': {
        token = atMost(body.value, CHAT_LIMITS.maxTokenBytes, 'an invite token');
        break;
      }
      case 'depositCapability': {
        capability = atMost(body.value, CHAT_LIMITS.maxCapabilityBytes, 'a deposit capability');
        break;
      }
      case 'pending':
        isPending = true;
        break;
      case undefined:
        break;
    }
  }
  if (token !== undefined) {
    const shown = token;
    others.push((decisions, peer) => decisions.inviteToken(peer, shown));
  }
  if (capability !== undefined) {
    const given = capability;
    others.push((decisions, peer) => decisions.depositCapability(peer, given));
  }
  if (isPending) others.push((decisions, peer) => decisions.pending(peer));
  if (wantsPrekeys) others.push((decisions, peer) => decisions.prekeysWanted(peer));
  return {
    hello,
    messages,
    async tell(decisions, peer, { opening } = { opening: false }) {
      const told: Promise<Uint8Array[] | void>[] = [];
      for (const ack of acks.values()) told.push(decisions.acked(peer, { ...ack, opening }));
      for (const other of others) told.push(other(decisions, peer));
      return (await Promise.all(told)).flatMap((frames) => frames ?? []);
    },
  };
}

/** Fires when the first frame has not come in time. */
export function helloDeadline(timeoutMs: number, onLate: (error: Error) => void): () => void {
  const timer = setTimeout(() => onLate(new TimeoutError('no hello came in time')), timeoutMs);
  return () => clearTimeout(timer);
}
