import type { Logger, PeerId } from '@libp2p/interface';
import { InvalidMessageError } from '@libp2p/interface';
import { decodeBundle } from '../protocols/chat/protocol.ts';
import type { Blob } from '../protocols/mailbox/collect.ts';
import { peerIdFromBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { readSealed, SealedError } from '../protocols/mailbox/sealed.ts';
import type { SealedBlob } from '../protocols/mailbox/sealed.ts';
import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import type { Delivery } from './delivery/delivery.ts';
import { overwriteKeys } from './sessions/chain.ts';
import { decodeIncoming, encodeIncoming, takeSealed } from './sessions/incoming.ts';
import type { IncomingSession } from './sessions/incoming.ts';
import { decodeOwnPrekey } from './sessions/prekeys.ts';
import type { OwnPrekey } from './sessions/prekeys.ts';
import { SessionStateError } from './sessions/state.ts';
import type { NodeStore } from './store/operations.ts';

/**
 * How often a peer is told that its sessions are lost. A mailbox could make us do so without end, by blobs that it makes up:
 * each time a new session is opened to the peer. Who is not told seals in a new session after a day.
 */
const LOST_RATE = { burst: 8, perSecond: 1 / 600 };

export interface MailboxIntakeInit {
  store: NodeStore;
  /** This node. */
  self: PeerId;
  nowMs: () => number;
  log: Logger;
  delivery: Pick<Delivery, 'receiveBundles' | 'lostSessions'>;
  /** A prekey of ours was used, or is missing. */
  onPrekey(): void;
}

/** What one sender left, and the keys that go with it. */
interface Mail {
  bundles: Uint8Array[][];
  sessions: Map<string, IncomingSession>;
  usedPrekeys: Uint8Array[];
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A state as the store has it; one that can't be read is as good as lost. */
function readState<State>(
  bytes: Uint8Array | undefined,
  decode: (bytes: Uint8Array) => State,
): State | undefined {
  if (bytes === undefined) return undefined;
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof SessionStateError)) throw error;
    return undefined;
  } finally {
    bytes.fill(0);
  }
}

/**
 * Opens and commits what comes out of our mailboxes. What one sender left is taken in its order, and becomes one transaction
 * with the keys that opened it, what several left at the same time shares a commit. What can't be opened is passed over, and
 * its depositor told where that helps.
 *
 * One batch at a time: each blob of a session starts from the state that the one before has left.
 *
 * @returns a function that rejects when anything could not be stored: the mailbox then keeps all of it
 */
export function mailboxIntake(init: MailboxIntakeInit): (blobs: readonly Blob[]) => Promise<void> {
  const { store, nowMs, log, delivery } = init;
  const recipient = init.self.toMultihash().bytes;
  const telling = keyedRate(LOST_RATE);
  let before: Promise<unknown> = Promise.resolve();

  const passOver = (from: PeerId, error: Error): void =>
    log('passed over a blob that %p left: %s', from, error.message);

  const read = ({ blob, depositor }: Blob): { sealed: SealedBlob; depositor: PeerId }[] => {
    try {
      return [{ sealed: readSealed(blob), depositor }];
    } catch (error) {
      if (!(error instanceof SealedError)) throw error;
      passOver(depositor, error);
      return [];
    }
  };

  /** The sessions and prekeys that some blobs name, as far as they are here. */
  const known = async (
    blobs: readonly SealedBlob[],
  ): Promise<{ sessions: Map<string, IncomingSession>; prekeys: Map<string, OwnPrekey> }> => {
    const ids = [...new Map(blobs.map(({ sessionId }) => [hex(sessionId), sessionId])).values()];
    const prekeyIds = [
      ...new Map(
        blobs.flatMap(({ opening }) => (opening ? [[hex(opening.prekeyId), opening.prekeyId] as const] : [])),
      ).values(),
    ];
    const [states, secrets] = await Promise.all([
      store.call('sessions.incoming', { ids }),
      store.call('prekeys.own', { ids: prekeyIds }),
    ]);
    const sessions = new Map<string, IncomingSession>();
    for (const state of states) {
      const session = readState(state, decodeIncoming);
      if (session !== undefined) sessions.set(hex(session.id), session);
    }
    const prekeys = new Map<string, OwnPrekey>();
    for (const secret of secrets) {
      const prekey = readState(secret, decodeOwnPrekey);
      if (prekey !== undefined) prekeys.set(hex(prekey.id), prekey);
    }
    return { sessions, prekeys };
  };

  const framesOf = (content: Uint8Array, from: PeerId): Uint8Array[] => {
    try {
      return decodeBundle(content);
    } catch (error) {
      // It would be no better the next time.
      if (!(error instanceof InvalidMessageError)) throw error;
      passOver(from, error);
      return [];
    }
  };

  const take = async (blobs: readonly Blob[]): Promise<void> => {
    const readable = blobs.flatMap(read);
    if (readable.length === 0) return;
    const { sessions, prekeys } = await known(readable.map(({ sealed }) => sealed));
    const mails = new Map<string, Mail>();
    const lost = new Map<string, Map<string, Uint8Array>>();
    const secrets = [...prekeys.values()].map(({ secretKey }) => secretKey);
    /** Each state that there was: its keys are overwritten in the end, whatever came of it. */
    const states = [...sessions.values()];
    let isPrekeyTouched = false;
    try {
      for (const { sealed, depositor } of readable) {
        const id = hex(sealed.sessionId);
        const prekey = sealed.opening && prekeys.get(hex(sealed.opening.prekeyId));
        try {
          const taken = await takeSealed(sealed, {
            recipient,
            nowMs: nowMs(),
            session: sessions.get(id),
            prekey,
          });
          states.push(taken.session);
          // That it was the last resort means that no other is left.
          if (!sessions.has(id)) isPrekeyTouched = true;
          sessions.set(id, taken.session);
          const peer = peerIdFromBytes(taken.sender)!;
          const sender = peer.toString();
          // The mailbox says who left it, the session who wrote it. Only the second is proved.
          if (!peer.equals(depositor)) log('a blob of %p was left by %p', peer, depositor);
          const mail: Mail = mails.get(sender) ?? { bundles: [], sessions: new Map(), usedPrekeys: [] };
          mails.set(sender, mail);
          mail.bundles.push(framesOf(taken.content, peer));
          mail.sessions.set(id, taken.session);
          if (taken.usedPrekey !== undefined) {
            mail.usedPrekeys.push(taken.usedPrekey);
            prekeys.delete(hex(taken.usedPrekey));
          }
        } catch (error) {
          // Anything else is a fault of ours: then it stays in the mailbox.
          if (!(error instanceof SealedError)) throw error;
          passOver(depositor, error);
          if (!error.needsResealing) continue;
          if (error.code === 'unknown-prekey') isPrekeyTouched = true;
          const ids = lost.get(depositor.toString()) ?? new Map<string, Uint8Array>();
          lost.set(depositor.toString(), ids.set(id, Uint8Array.from(sealed.sessionId)));
        }
      }
      await Promise.all([
        ...Array.from(mails, ([sender, mail]) =>
          delivery.receiveBundles(sender, mail.bundles, {
            sessions: Array.from(mail.sessions.values(), (session) => ({
              id: session.id,
              prekeyId: session.prekeyId,
              state: encodeIncoming(session),
              takenMs: session.lastTakenMs,
            })),
            usedPrekeys: mail.usedPrekeys,
          }),
        ),
        ...Array.from(lost, async ([depositor, ids]) => {
          if (telling.take(depositor, 1, nowMs()).granted > 0)
            await delivery.lostSessions(depositor, [...ids.values()]);
        }),
      ]);
    } finally {
      for (const { chain } of states) overwriteKeys(chain);
      for (const secret of secrets) secret.fill(0);
    }
    if (isPrekeyTouched) init.onPrekey();
  };

  return (blobs) => {
    const taken = before.then(() => take(blobs));
    before = taken.catch(() => undefined);
    return taken;
  };
}
