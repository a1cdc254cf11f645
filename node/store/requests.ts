import type { DatabaseSync } from 'node:sqlite';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { decodeMessage, messageHash, UnacceptableMessageError } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import {
  encodeDepositCapability,
  encodeInviteToken,
  encodePending,
  encodeRefusal,
} from '../../protocols/chat/protocol.ts';
import { ackOfAsked, askedIn, declinedIn, keptAsked } from './asked.ts';
import type { Asked } from './asked.ts';
import type { Chains } from './chains.ts';
import { decodeStored } from './damage.ts';
import type { IncomingOperations, OwedAcks, ReceiveArguments, ReceivedBatch } from './incoming.ts';
import { formatMessageId } from './message-id.ts';
import type { PeopleOperations } from './people.ts';
import type { OutgoingOperations, PendingChain } from './outgoing.ts';
import type { SealedColumns } from './sealed-columns.ts';
import type { Standings } from './standings.ts';

/** What strangers have asked for: the first message of each, which waits for the user. */
export const REQUESTS_SCHEMA = `
  CREATE TABLE requests (
    peer INTEGER PRIMARY KEY REFERENCES peers,
    received_ms INTEGER NOT NULL,
    ack_owed INTEGER NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
`;

/** What strangers can make this node keep: peer ids cost nothing, so it is little. */
export interface RequestLimits {
  /** Requests that wait for the user. */
  pending: number;
  /** Text of a first message, in bytes of UTF-8. */
  textBytes: number;
}

export const REQUEST_LIMITS: RequestLimits = {
  // As many as a person looks through; all of them take 40 KB.
  pending: 20,
  // Who one is and what one wants; a card to look at is not among it.
  textBytes: 1024,
};

/** A stranger's first message. */
export interface RequestRow {
  peer: string;
  receivedMs: number;
  /** Of the message. */
  id: string;
  text: string;
  sentAtMs: number;
}

/** What became of an acceptance. */
export interface Acceptance {
  /** `petname-taken`: another contact has it, and nothing was changed. */
  outcome: 'accepted' | 'petname-taken';
  /** The request's message, where there was one, and how it was received. */
  message?: Uint8Array;
  batch?: ReceivedBatch;
}

interface StoredRequest {
  peer: number;
  received_ms: number;
  ack_owed: number;
  body: Uint8Array;
}

const nothing = (answers: Uint8Array[] = [], refused: string[] = []): ReceivedBatch => {
  const none = new Float64Array(0);
  return { rows: none, indexes: new Uint32Array(0), places: none, answers, refused };
};

/**
 * Stands before what comes in: a stranger's first message becomes a request, and nothing else is taken of strangers, of who
 * was declined, and of who is blocked. Also says what is owed to whom beside acknowledgements.
 */
export function requestsTable(
  database: DatabaseSync,
  sealed: SealedColumns,
  chains: Chains,
  standings: Standings,
  isKnown: (peer: number) => boolean,
  {
    incoming,
    outgoing,
    people,
  }: {
    incoming: IncomingOperations;
    outgoing: Pick<OutgoingOperations, 'messages.pending' | 'messages.waiting-peers'>;
    people: Pick<PeopleOperations, 'contacts.add'>;
  },
  limits: RequestLimits = REQUEST_LIMITS,
) {
  const select = database.prepare('SELECT * FROM requests WHERE peer = ?');
  const selectAll = database.prepare('SELECT * FROM requests ORDER BY received_ms, peer');
  const count = database.prepare('SELECT count(*) AS n FROM requests');
  const insert = database.prepare(
    'INSERT INTO requests (peer, received_ms, ack_owed, body) VALUES (?, ?, ?, ?)',
  );
  const remove = database.prepare('DELETE FROM requests WHERE peer = ?');
  const setOwed = database.prepare('UPDATE requests SET ack_owed = ? WHERE peer = ?');

  const requestOf = (peer: number): StoredRequest | undefined =>
    select.get(peer) as unknown as StoredRequest | undefined;
  const bodyOf = ({ peer, body }: StoredRequest): Uint8Array => sealed.request.open(body, peer);

  /** What a peer has asked, whether it waits or was declined: it is answered in the same way. */
  const askedBy = (peer: number): Asked | undefined => {
    const request = requestOf(peer);
    if (request === undefined) return declinedIn(standings.of(peer));
    const body = bodyOf(request);
    return askedIn(body, decodeStored(body), request.ack_owed === 1);
  };

  const setAskedOwed = (peer: number, owed: boolean): void => {
    setOwed.run(owed ? 1 : 0, peer);
    const { decision } = standings.of(peer);
    if (decision?.asked === undefined || decision.asked.owed === owed) return;
    standings.set(peer, { decision: { ...decision, asked: { ...decision.asked, owed } } });
  };

  /**
   * Takes the first message that can be a request; the rest stays with its author. Of who was declined nothing is taken, and
   * the answers are those of who waits.
   */
  const ask = ({ peer: peerId, messages, viaMailbox, nowMs }: ReceiveArguments): ReceivedBatch => {
    const known = chains.findPeer(peerId);
    const isDeclined = known !== undefined && standings.isDeclined(known, nowMs);
    // Of an older decline, nothing: who asks after it asks anew.
    const isAsking = known !== undefined && (isDeclined || requestOf(known) !== undefined);
    let asked = isAsking ? askedBy(known) : undefined;
    let isTouched = false;
    let isLater = false;
    let isNew = false;
    const answers: Uint8Array[] = [];
    const refused: string[] = [];
    for (const body of messages) {
      let message: ChatMessage;
      try {
        message = decodeMessage(body);
      } catch (error) {
        if (!(error instanceof UnacceptableMessageError)) throw error;
        const reason = error.code === 'too-large' ? Refusal_Reason.TOO_LARGE : Refusal_Reason.MALFORMED;
        if (error.position !== undefined)
          answers.push(encodeRefusal(error.position.chain, error.position.counter, reason));
        refused.push(error.message);
        continue;
      }
      if (asked !== undefined) {
        if (Buffer.compare(asked.hash, messageHash(body)) === 0) isTouched = true;
        else isLater = true;
      } else if (isDeclined) {
        isLater = true;
      } else if (Buffer.byteLength(message.text) > limits.textBytes) {
        answers.push(encodeRefusal(message.chain, message.counter, Refusal_Reason.STRANGER));
        refused.push(`the first message of a stranger is longer than ${limits.textBytes} bytes`);
      } else if (Number(count.get()!['n']) >= limits.pending) {
        isLater = true;
      } else {
        const peer = chains.peerKey(peerId);
        insert.run(peer, nowMs, 0, sealed.request.seal(body, peer));
        // What was decided about a request before is over.
        standings.set(peer, { decision: undefined });
        asked = askedIn(body, message, false);
        isTouched = true;
        isNew = true;
      }
    }
    if (isTouched && asked !== undefined) {
      answers.unshift(ackOfAsked(asked));
      if (viaMailbox) setAskedOwed(chains.peerKey(peerId), true);
    }
    if (isTouched || isLater) answers.push(encodePending());
    return { ...nothing(answers, refused), requested: isNew };
  };

  const receive = (given: ReceiveArguments): ReceivedBatch => {
    const peer = chains.findPeer(given.peer);
    if (peer === undefined) return ask(given);
    if (standings.isBlocked(peer)) return nothing();
    if (isKnown(peer)) return incoming['messages.receive'](given);
    return ask(given);
  };

  /** What a peer is to be handed beside acknowledgements, and a mark of what that is. */
  const introductions = (peer: number, owedOnly: boolean): { frames: Uint8Array[]; mark: string } => {
    const { given, token } = standings.of(peer);
    const frames: Uint8Array[] = [];
    let mark = '';
    if (token !== undefined && (token.owed || !owedOnly)) {
      frames.push(encodeInviteToken(Buffer.from(token.token)));
      mark += `token ${token.token} `;
    }
    if (given !== undefined && (given.owed || !owedOnly)) {
      frames.push(encodeDepositCapability(Buffer.from(given.capability, 'base64')));
      mark += `right ${given.issuedMs}`;
    }
    return { frames, mark };
  };

  const acks = ({ peer: peerId, owedOnly }: { peer: string; owedOnly: boolean }): OwedAcks => {
    const peer = chains.findPeer(peerId);
    if (peer === undefined || standings.isBlocked(peer)) return { answers: [], held: 0, introduced: '' };
    const asked = isKnown(peer) ? undefined : askedBy(peer);
    if (asked !== undefined) {
      if (owedOnly && !asked.owed) return { answers: [], held: 0, introduced: '' };
      return { answers: [ackOfAsked(asked), encodePending()], held: 0, introduced: 'request' };
    }
    const { frames, mark } = introductions(peer, owedOnly);
    const { answers, held } = incoming['messages.acks']({ peer: peerId, owedOnly });
    const isDeclined = !owedOnly && standings.of(peer).decision?.kind === 'declined' && !isKnown(peer);
    return {
      answers: [...frames, ...answers, ...(isDeclined ? [encodePending()] : [])],
      held,
      introduced: mark,
    };
  };

  const acksPaid = (paid: { peer: string; held: number; introduced?: string }): void => {
    const peer = chains.findPeer(paid.peer);
    if (peer === undefined) return;
    if (paid.introduced === 'request') {
      setAskedOwed(peer, false);
      return;
    }
    incoming['messages.acks-paid'](paid);
    if (paid.introduced === undefined || paid.introduced === '') return;
    if (introductions(peer, true).mark !== paid.introduced) return;
    const { given, token } = standings.of(peer);
    standings.set(peer, {
      given: given && { ...given, owed: false },
      token: token && { ...token, owed: false },
    });
  };

  const accept = ({
    peer: peerId,
    petname,
    nowMs,
  }: {
    peer: string;
    petname: string | null;
    nowMs: number;
  }): Acceptance => {
    if (!people['contacts.add']({ peer: peerId, petname, nowMs })) return { outcome: 'petname-taken' };
    const peer = chains.peerKey(peerId);
    if (standings.of(peer).decision?.kind === 'declined') standings.set(peer, { decision: undefined });
    const request = requestOf(peer);
    if (request === undefined) return { outcome: 'accepted' };
    const message = bodyOf(request);
    remove.run(peer);
    const batch = incoming['messages.receive']({
      peer: peerId,
      messages: [message],
      // What was owed for the request is owed for the message.
      viaMailbox: request.ack_owed === 1,
      nowMs,
    });
    return { outcome: 'accepted', message, batch };
  };

  return {
    ...incoming,
    'messages.receive': receive,
    'messages.acks': acks,
    'messages.acks-paid': acksPaid,

    /** What is not delivered yet to one peer, unless its person has to accept us first, or ours has blocked it. */
    'messages.pending': ({ peer: peerId }: { peer: string }): PendingChain[] => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined || standings.isBlocked(peer) || standings.of(peer).waitsMs !== undefined)
        return [];
      return outgoing['messages.pending']({ peer: peerId });
    },

    /** Everybody with an undelivered message from here, or something owed. */
    'messages.waiting-peers': (): string[] => {
      const owed = Array.from(standings.all())
        .filter(
          ([peer, { given, token, decision }]) =>
            given?.owed === true ||
            token?.owed === true ||
            (decision?.asked?.owed === true && !isKnown(peer)),
        )
        .map(([peer]) => peer);
      const requests = (selectAll.all() as unknown as StoredRequest[])
        .filter(({ ack_owed: isOwed }) => isOwed === 1)
        .map(({ peer }) => peer);
      const peerIds = [...owed, ...requests].map((peer) => chains.peerIdOf(peer));
      return [...new Set([...outgoing['messages.waiting-peers'](), ...peerIds])].filter((peerId) => {
        const peer = chains.findPeer(peerId);
        return peer === undefined || !standings.isBlocked(peer);
      });
    },

    /** What strangers have asked for, the first first. */
    'requests.list': (): RequestRow[] =>
      (selectAll.all() as unknown as StoredRequest[]).map((request) => {
        const { id, text, sentAtMs } = decodeStored(bodyOf(request));
        return {
          peer: chains.peerIdOf(request.peer),
          receivedMs: request.received_ms,
          id: formatMessageId(id),
          text,
          sentAtMs,
        };
      }),

    /** Makes a contact of somebody, and a message of the request, if there is one. */
    'requests.accept': accept,

    /**
     * Forgets a request, but for what its author is answered with: they are not told, and not asked about again for 30 days.
     * False when there is none.
     */
    'requests.decline': ({ peer: peerId, nowMs }: { peer: string; nowMs: number }): boolean => {
      const peer = chains.findPeer(peerId);
      if (peer === undefined || requestOf(peer) === undefined) return false;
      const asked = keptAsked(askedBy(peer)!);
      remove.run(peer);
      standings.set(peer, { decision: { kind: 'declined', sinceMs: nowMs, asked }, kept: undefined });
      return true;
    },
  };
}

export type RequestsOperations = ReturnType<typeof requestsTable>;
