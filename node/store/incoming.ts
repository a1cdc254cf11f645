import type { DatabaseSync } from 'node:sqlite';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { decodeMessage, messageHash, UnacceptableMessageError } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import { CHAT_LIMITS, encodeAck, encodeRefusal } from '../../protocols/chat/protocol.ts';
import { addRange, hasCounter, missingBefore } from '../../protocols/chat/ranges.ts';
import { MAX_CHAINS_PER_PEER } from './chains.ts';
import type { Chain, Chains } from './chains.ts';
import { clamp, earlier, later, shift } from './clock.ts';
import type { ClockReading } from './clock.ts';
import { decodeStored, storedRow } from './damage.ts';
import type { HeldMessage, HeldMessages } from './held.ts';
import { INCOMING } from './direction.ts';
import type { SealedColumns } from './sealed-columns.ts';

/** Messages of one author, encoded, as they came. */
export interface ReceiveArguments {
  peer: string;
  messages: readonly Uint8Array[];
  /** Through a mailbox: then nobody is at the other end to take the acknowledgement, and it stays owed. */
  viaMailbox: boolean;
  nowMs: number;
}

export interface ReceivedBatch {
  /** Row of each message that is new, and its index in the batch. */
  rows: Float64Array;
  indexes: Uint32Array;
  /** Three numbers of each: where it is ordered by (milliseconds, count), and how many before it are missing. */
  places: Float64Array;
  /** Frames to answer with: an Ack per chain touched, then refusals. */
  answers: Uint8Array[];
  /** Reasons that something was not taken, for the log. */
  refused: string[];
  /** A message has become a request of a stranger's. */
  requested?: boolean;
}

export interface OwedAcks {
  answers: Uint8Array[];
  /** How many messages of the author these acknowledge. */
  held: number;
  /** What else is among them, for `messages.acks-paid`. */
  introduced?: string;
}

const countHeld = (chains: readonly Chain[]): number =>
  chains.flatMap(({ delivered }) => delivered).reduce((sum, { first, last }) => sum + last - first + 1, 0);

type Verdict = 'new' | 'duplicate' | 'later' | { reason: Refusal_Reason; why: string };

/** What comes in: checked, deduplicated, stored, acknowledged. */
export function incomingTable(
  database: DatabaseSync,
  sealed: SealedColumns,
  chains: Chains,
  held: HeldMessages,
) {
  const insert = database.prepare(
    `INSERT INTO messages (chain, counter, peer, direction, clock_ms, clock_count, received_ms, id, body)
     VALUES (?, ?, ?, ${INCOMING}, ?, ?, ?, ?, ?) ON CONFLICT (id, peer, direction) DO NOTHING`,
  );
  const addUnread = database.prepare('UPDATE peers SET unread = unread + ? WHERE id = ?');

  const ackOf = (chain: Chain): Uint8Array =>
    encodeAck(chain.chain, chain.delivered, (counter) => held.hashAt(chain, counter));

  const conflict = (why: string): Verdict & object => ({ reason: Refusal_Reason.CONFLICT, why });

  const judge = (chain: Chain, message: ChatMessage, body: Uint8Array): Verdict => {
    if (hasCounter(chain.delivered, message.counter)) {
      return Buffer.compare(
        storedRow<HeldMessage>(held.at(chain, message.counter), 'a message').body,
        body,
      ) !== 0
        ? conflict(`a different message has counter ${message.counter}`)
        : 'duplicate';
    }
    if (hasCounter(chain.delivered, message.counter - 1)) {
      const before = held.hashAt(chain, message.counter - 1);
      if (Buffer.compare(before, message.previous) !== 0) {
        return conflict('it does not follow the message before it');
      }
    }
    const next = hasCounter(chain.delivered, message.counter + 1)
      ? held.at(chain, message.counter + 1)
      : undefined;
    if (next !== undefined && Buffer.compare(decodeStored(next.body).previous, messageHash(body)) !== 0) {
      return conflict('the message after it does not follow it');
    }
    // One range more than an Ack can name: the message stays with its author until an older gap has closed.
    const opensGap =
      chain.delivered.length >= CHAT_LIMITS.maxAckRanges &&
      message.counter > 1 &&
      next === undefined &&
      !hasCounter(chain.delivered, message.counter - 1);
    return opensGap ? 'later' : 'new';
  };

  const clockAt = (chain: Chain, counter: number): ClockReading =>
    storedRow<HeldMessage>(held.at(chain, counter), 'a message').clock;

  /**
   * Where a message is ordered. Per author the counter decides: a clock set back does not move a message before the ones it
   * follows, and a clock set forward, which is clamped at arrival, not after those that follow it. Every counter
   * missing in between is left a place.
   */
  const placeOf = (chain: Chain, counter: number, reading: ClockReading): ClockReading => {
    if (counter > chain.lastCounter) return later(reading, shift(chain.clock, counter - chain.lastCounter));
    const before = chain.delivered.findLast(({ last }) => last < counter);
    const after = chain.delivered.find(({ first }) => first > counter)!;
    const earliest =
      before === undefined ? reading : shift(clockAt(chain, before.last), counter - before.last);
    const latest = shift(clockAt(chain, after.first), counter - after.first);
    return earlier(later(reading, earliest), latest);
  };

  const chainOf = (peer: number, bytes: Uint8Array): Chain | undefined =>
    chains.find(peer, INCOMING, bytes) ??
    (chains.ofPeer(peer, INCOMING).length < MAX_CHAINS_PER_PEER
      ? chains.create(peer, INCOMING, bytes)
      : undefined);

  /**
   * An id that the author has used before: the same message, sent again under another counter, moves there. Undefined when
   * it is another message.
   */
  const takeAgain = (
    chain: Chain,
    peer: number,
    message: ChatMessage,
    body: Uint8Array,
  ): ClockReading | undefined => {
    const known = held.withId(peer, message.id);
    const before = decodeStored(known.body);
    if (before.text !== message.text || before.sentAtMs !== message.sentAtMs) return undefined;
    const ordered = placeOf(chain, message.counter, known.clock);
    held.move(known.row, chain, message.counter, body, ordered);
    return ordered;
  };

  return {
    /** Commits what is new of a batch from one author. A message that can't be taken does not hold up the others. */
    'messages.receive': ({ peer: peerId, messages, viaMailbox, nowMs }: ReceiveArguments): ReceivedBatch => {
      const peer = chains.peerKey(peerId);
      const rows: number[] = [];
      const indexes: number[] = [];
      const places: number[] = [];
      const refusals: Uint8Array[] = [];
      const refused: string[] = [];
      const touched = new Set<Chain>();
      const refuse = (message: ChatMessage, { reason, why }: Verdict & object): void => {
        refusals.push(encodeRefusal(message.chain, message.counter, reason));
        refused.push(why);
      };
      for (const [index, body] of messages.entries()) {
        let message: ChatMessage;
        try {
          message = decodeMessage(body);
        } catch (error) {
          if (!(error instanceof UnacceptableMessageError)) throw error;
          const reason = error.code === 'too-large' ? Refusal_Reason.TOO_LARGE : Refusal_Reason.MALFORMED;
          if (error.position !== undefined)
            refusals.push(encodeRefusal(error.position.chain, error.position.counter, reason));
          refused.push(error.message);
          continue;
        }
        const chain = chainOf(peer, message.chain);
        if (chain === undefined) {
          const why = `more than ${MAX_CHAINS_PER_PEER} chains`;
          refuse(message, { reason: Refusal_Reason.MALFORMED, why });
          continue;
        }
        // Also for what is refused: the Ack tells an author that was restored from an old copy why.
        touched.add(chain);
        const verdict = judge(chain, message, body);
        if (typeof verdict === 'object') refuse(message, verdict);
        if (verdict !== 'new') continue;
        const reading = clamp({ ms: message.clockMs, count: message.clockCount }, nowMs);
        let ordered = placeOf(chain, message.counter, reading);
        const { changes, lastInsertRowid } = insert.run(
          chain.id,
          message.counter,
          peer,
          ordered.ms,
          ordered.count,
          nowMs,
          message.id,
          sealed.body.seal(body, chain.id, message.counter, message.id),
        );
        if (changes === 0) {
          const again = takeAgain(chain, peer, message, body);
          if (again === undefined) {
            refuse(message, conflict('a different message has its id'));
            continue;
          }
          ordered = again;
        }
        chain.delivered = addRange(chain.delivered, message.counter, message.counter);
        if (message.counter > chain.lastCounter) {
          chain.lastCounter = message.counter;
          chain.lastHash = messageHash(body);
          chain.clock = ordered;
        }
        if (changes === 0) continue;
        rows.push(Number(lastInsertRowid));
        indexes.push(index);
        places.push(ordered.ms, ordered.count, missingBefore(chain.delivered, message.counter));
      }
      if (rows.length > 0) addUnread.run(rows.length, peer);
      const answers: Uint8Array[] = [];
      for (const chain of touched) {
        if (chain.delivered.length === 0) continue;
        if (viaMailbox) chain.ackOwed = true;
        chains.touch(chain);
        answers.push(ackOf(chain));
      }
      answers.push(...refusals);
      chains.flush();
      return {
        rows: Float64Array.from(rows),
        indexes: Uint32Array.from(indexes),
        places: Float64Array.from(places),
        answers,
        refused,
      };
    },

    /** Acknowledgements for everything held of an author: what the answer to its hello carries. */
    'messages.acks': ({ peer: peerId, owedOnly }: { peer: string; owedOnly: boolean }): OwedAcks => {
      const peer = chains.findPeer(peerId);
      const all =
        peer === undefined
          ? []
          : chains
              .ofPeer(peer, INCOMING)
              // Of a greeting, one that names nothing says that all of the chain is lost here.
              .filter(({ delivered }) => delivered.length > 0 || !owedOnly);
      return {
        answers: all.filter(({ ackOwed }) => ackOwed || !owedOnly).map(ackOf),
        held: countHeld(all),
      };
    },

    /** An author has been told what was received when `held` messages were; if more came since, it is still owed that. */
    'messages.acks-paid': ({ peer: peerId, held: told }: { peer: string; held: number }): void => {
      const peer = chains.findPeer(peerId);
      const all = peer === undefined ? [] : chains.ofPeer(peer, INCOMING);
      if (countHeld(all) !== told) return;
      for (const chain of all.filter(({ ackOwed }) => ackOwed)) {
        chain.ackOwed = false;
        chains.touch(chain);
      }
      chains.flush();
    },
  };
}

export type IncomingOperations = ReturnType<typeof incomingTable>;
