import type { DatabaseSync } from 'node:sqlite';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { decodeMessage, UnacceptableMessageError } from '../../protocols/chat/message.ts';
import { encodeRefusal } from '../../protocols/chat/protocol.ts';
import type { Chains } from './chains.ts';
import type { IncomingOperations, ReceiveArguments, ReceivedBatch } from './incoming.ts';
import { INCOMING, OUTGOING } from './schema.ts';

/** What is kept of people who are no contacts and whom nobody here has written to. */
export interface StrangerLimits {
  /** Peers that are remembered, others than contacts among them. */
  peers: number;
  /** Bytes of messages of one of them. */
  bytes: number;
  /** Bytes of messages of all of them. */
  totalBytes: number;
}

export const STRANGER_LIMITS: StrangerLimits = {
  // More than a person hears of. Each is a row, and a kilobyte of memory while the daemon runs.
  peers: 10_000,
  // Years of one who writes to a silent friend; an hour of one who floods.
  bytes: 128 * 1024 * 1024,
  // Less than any disk that holds a daemon. Until there are contact requests, which take one message of each.
  totalBytes: 256 * 1024 * 1024,
};

/** What a chain costs beside its messages: its row, and its part of the memory. */
const CHAIN_BYTES = 1024;

/** Messages that will not be taken, each answered so that its author learns of it. */
function refuseAll(messages: readonly Uint8Array[], why: string): ReceivedBatch {
  const answers: Uint8Array[] = [];
  for (const body of messages) {
    try {
      const { chain, counter } = decodeMessage(body);
      answers.push(encodeRefusal(chain, counter, Refusal_Reason.STRANGER));
    } catch (error) {
      // What can't be read has no place that a refusal could name.
      if (!(error instanceof UnacceptableMessageError)) throw error;
    }
  }
  const none = new Float64Array(0);
  return { rows: none, indexes: new Uint32Array(0), places: none, answers, refused: [why] };
}

/** Puts bounds on what strangers can make this node keep: peer ids cost nothing. */
export function boundedStrangers(
  database: DatabaseSync,
  chains: Chains,
  incoming: IncomingOperations,
  limits: StrangerLimits = STRANGER_LIMITS,
): { operations: IncomingOperations; rolledBack: () => void } {
  const selectKnown = database.prepare(
    `SELECT 1 FROM contacts WHERE peer = ?1
     UNION ALL SELECT 1 FROM chains WHERE peer = ?1 AND direction = ${OUTGOING} LIMIT 1`,
  );
  const countPeers = database.prepare('SELECT count(*) AS count FROM peers');
  const selectStrangers = database.prepare(
    `SELECT p.id FROM peers p WHERE NOT EXISTS (SELECT 1 FROM contacts WHERE peer = p.id)
     AND NOT EXISTS (SELECT 1 FROM chains WHERE peer = p.id AND direction = ${OUTGOING})`,
  );
  const sumOf = database.prepare(
    `SELECT coalesce((SELECT sum(length(body)) FROM messages WHERE peer = ?1 AND direction = ${INCOMING}), 0)
       + ${CHAIN_BYTES} * (SELECT count(*) FROM chains WHERE peer = ?1 AND direction = ${INCOMING}) AS bytes`,
  );
  /** Bytes of each stranger; undefined until one has written since the start. */
  let usage: Map<number, number> | undefined;
  let total = 0;

  const usageNow = (): Map<number, number> => {
    if (usage === undefined) {
      usage = new Map();
      total = 0;
      for (const row of selectStrangers.all()) {
        const bytes = Number(sumOf.get(row['id']!)!['bytes']);
        usage.set(Number(row['id']), bytes);
        total += bytes;
      }
    }
    return usage;
  };

  const charge = (peer: number, bytes: number): void => {
    const known = usageNow();
    known.set(peer, (known.get(peer) ?? 0) + bytes);
    total += bytes;
  };

  /** Whether a peer is one that is known; a stranger until now leaves its room to others. */
  const isKnown = (peer: number): boolean => {
    if (selectKnown.get(peer) === undefined) return false;
    total -= usage?.get(peer) ?? 0;
    usage?.delete(peer);
    return true;
  };

  /** Why nothing more is taken of a peer. */
  const refusal = (peer: number | undefined, bytes: number): string | undefined => {
    if (peer !== undefined && isKnown(peer)) return undefined;
    if (peer === undefined && Number(countPeers.get()!['count']) >= limits.peers)
      return 'too many strangers are known';
    const own = peer === undefined ? 0 : (usageNow().get(peer) ?? 0);
    if (own + bytes > limits.bytes) return 'a stranger has written too much';
    usageNow();
    return total + bytes > limits.totalBytes ? 'strangers have written too much' : undefined;
  };

  const receive = (given: ReceiveArguments): ReceivedBatch => {
    const bytes = given.messages.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const before = chains.findPeer(given.peer);
    const why = refusal(before, bytes);
    if (why !== undefined) return refuseAll(given.messages, why);
    const chainsBefore = before === undefined ? 0 : chains.ofPeer(before, INCOMING).length;
    const batch = incoming['messages.receive'](given);
    const peer = chains.findPeer(given.peer);
    if (peer === undefined || selectKnown.get(peer) !== undefined) return batch;
    const kept = batch.indexes.reduce((sum, index) => sum + given.messages[index]!.byteLength, 0);
    const begun = chains.ofPeer(peer, INCOMING).length - chainsBefore;
    if (kept + begun > 0) charge(peer, kept + begun * CHAIN_BYTES);
    return batch;
  };

  return {
    operations: { ...incoming, 'messages.receive': receive },
    rolledBack: () => {
      usage = undefined;
    },
  };
}
