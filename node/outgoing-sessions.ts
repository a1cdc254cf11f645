import { randomBytes } from 'node:crypto';
import type { Ed25519PrivateKey, Logger } from '@libp2p/interface';
import { MailboxError } from '../protocols/mailbox/errors.ts';
import { openPrekey, PrekeyError } from '../protocols/mailbox/prekey.ts';
import type { Prekey } from '../protocols/mailbox/prekey.ts';
import { NONCE_BYTES } from '../protocols/mailbox/sealed.ts';
import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import { inTurn } from './in-turn.ts';
import { peerIdOf } from './peer-ids.ts';
import { overwriteKeys } from './sessions/chain.ts';
import { COINS_BYTES } from './sessions/hpke.ts';
import {
  confirmed,
  decodeOutgoing,
  encodeOutgoing,
  renewal,
  seal as sealBlob,
  startSession,
} from './sessions/outgoing.ts';
import type { OutgoingSession } from './sessions/outgoing.ts';
import { SessionStateError } from './sessions/state.ts';
import type { NodeStore } from './store/operations.ts';

/** Where no prekey was to be had, the mailboxes are not asked again for this long while there is a session to go on with. */
const ASK_AGAIN_MS = 60_000;

/** And this long where there is none: each message that is written meanwhile would ask again. */
const ASK_SOON_MS = 3_000;

/**
 * How often a peer can have us seal everything again by saying that it lost a session. Beyond that the session ends all the
 * same, and what was stored is left there again after six hours.
 */
const RESEALING_RATE = { burst: 8, perSecond: 1 / 600 };

/** Peers whose renewals, and lost sessions whose ids, are remembered. */
const REMEMBERED = 1_000;

export interface OutgoingSessionsInit {
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  nowMs: () => number;
  log: Logger;
  /**
   * Takes a prekey at the peer's mailboxes, whose signature was checked.
   *
   * @throws Error that says why there is none
   */
  takePrekey(peer: string, options: { signal: AbortSignal }): Promise<Prekey>;
}

/** A sealed blob, whose key is spent on disk. */
export interface SealedContent {
  blob: Uint8Array;
  /** Whether the peer has said since that it can't open it. */
  isLost(): boolean;
}

/** The sessions in which we seal for others, one for each peer. */
export interface OutgoingSessions {
  /**
   * Seals for a peer, in a new session when that is due and a prekey is to be had.
   *
   * @param options.anew opens a new session if possible: the peer may not have the present one
   * @throws Error that says why there is no session, or what the store or the signal throws
   */
  seal(
    peer: string,
    content: Uint8Array,
    options: { signal: AbortSignal; anew?: boolean },
  ): Promise<SealedContent>;
  /** The peer has these sessions: their openings need not be sent again. */
  opened(peer: string, ids: readonly Uint8Array[]): Promise<void>;
  /** The peer can't open these. Resolves to true when what is sealed in them has to be sealed again now. */
  lost(peer: string, ids: readonly Uint8Array[]): Promise<boolean>;
  /** Ends all sessions: this store is an old copy of itself. */
  forget(): Promise<void>;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function outgoingSessions(init: OutgoingSessionsInit): OutgoingSessions {
  const { store, privateKey, nowMs, log } = init;
  /** For each peer, each step starts from the state that the one before has committed. */
  const peerInTurn = inTurn();
  const resealing = keyedRate(RESEALING_RATE);
  /** Peers to whom a session was opened since the start. One from before may be an old copy's, whose keys are spent. */
  const ofThisRun = new Set<string>();
  /** When the mailboxes of a peer had no prekey, when they may be asked again, and why there was none. */
  const refusals = new Map<string, { atMs: number; restMs: number; error: unknown }>();
  const lostIds = new Set<string>();

  const current = async (peer: string): Promise<OutgoingSession | undefined> => {
    const state = await store.call('sessions.outgoing', { peer });
    if (state === undefined) return undefined;
    try {
      return decodeOutgoing(state);
    } catch (error) {
      // Of no use any more: a new one takes its place.
      if (!(error instanceof SessionStateError)) throw error;
      return undefined;
    } finally {
      state.fill(0);
    }
  };

  const commit = async (
    peer: string,
    session: OutgoingSession,
    usedPrekey: Uint8Array | undefined,
  ): Promise<void> => {
    const state = encodeOutgoing(session);
    try {
      await store.call('sessions.sealed', { peer, id: session.id, state, usedPrekey });
    } finally {
      state.fill(0);
      overwriteKeys(session.chain);
    }
  };

  /** The prekey that the peer gave us, if it is still one. */
  const directPrekey = async (peer: string): Promise<{ prekey: Prekey; arrivedMs: number } | undefined> => {
    const found = await store.call('prekeys.newest-received', { peer, nowMs: nowMs() });
    if (found === undefined) return undefined;
    const prekey = await openPrekey(found.prekey, { owner: peerIdOf(peer), nowMs: nowMs() });
    return { prekey, arrivedMs: found.arrivedMs };
  };

  const begin = async (peer: string, prekey: Prekey): Promise<OutgoingSession> => {
    const coins = randomBytes(COINS_BYTES);
    try {
      const recipient = peerIdOf(peer).toMultihash().bytes;
      return await startSession(privateKey, { recipient, prekey, nowMs: nowMs(), coins });
    } finally {
      coins.fill(0);
    }
  };

  const taken = async (peer: string, { signal }: { signal: AbortSignal }): Promise<OutgoingSession> => {
    try {
      return await begin(peer, await init.takePrekey(peer, { signal }));
    } catch (error) {
      const { cause } = error as Error;
      const refusal =
        error instanceof MailboxError ? error : cause instanceof MailboxError ? cause : undefined;
      if (refusals.size >= REMEMBERED) refusals.clear();
      // What the network did may be over at once.
      if (refusal !== undefined) refusals.set(peer, { atMs: nowMs(), restMs: refusal.retryAfterMs, error });
      throw error;
    }
  };

  /** Why the mailboxes are not asked again yet. */
  const refusalOf = (peer: string, leastMs: number): { error: unknown } | undefined => {
    const refusal = refusals.get(peer);
    if (refusal === undefined) return undefined;
    const agoMs = nowMs() - refusal.atMs;
    // A clock set back is no reason to wait for it to come round.
    return agoMs >= 0 && agoMs < Math.max(leastMs, refusal.restMs) ? refusal : undefined;
  };

  /** The session to seal in, and the prekey that it has used up, if it is a new one. */
  const sessionFor = async (
    peer: string,
    { signal, anew }: { signal: AbortSignal; anew: boolean },
  ): Promise<{ session: OutgoingSession; usedPrekey?: Uint8Array }> => {
    const [session, direct] = await Promise.all([
      current(peer),
      directPrekey(peer).catch((error: unknown) => {
        log('a prekey of %s is of no use: %s', peer, (error as Error).message);
        return undefined;
      }),
    ]);
    const state =
      session === undefined
        ? 'must'
        : renewal(session, { nowMs: nowMs(), prekeyArrivedMs: direct?.arrivedMs });
    if (session !== undefined && state === 'keep' && !anew && ofThisRun.has(peer)) return { session };
    if (direct !== undefined) {
      try {
        return { session: await begin(peer, direct.prekey), usedPrekey: direct.prekey.id };
      } catch (error) {
        if (!(error instanceof PrekeyError)) throw error;
        log('a prekey of %s is of no use: %s', peer, error.message);
      }
    }
    try {
      const refusal = refusalOf(peer, state === 'must' ? ASK_SOON_MS : ASK_AGAIN_MS);
      if (refusal === undefined) return { session: await taken(peer, { signal }) };
      if (state === 'must') throw refusal.error;
    } catch (error) {
      if (session === undefined || state === 'must' || signal.aborted) throw error;
      log('no new session to %s, the old one goes on: %s', peer, (error as Error).message);
    }
    return { session: session! };
  };

  return {
    seal: (peer, content, { signal, anew = false }) =>
      peerInTurn(peer, async () => {
        signal.throwIfAborted();
        const { session, usedPrekey } = await sessionFor(peer, { signal, anew });
        const { blob, session: next } = sealBlob(session, content, { nonce: randomBytes(NONCE_BYTES) });
        await commit(peer, next, usedPrekey);
        overwriteKeys(session.chain);
        if (session.counter === 0) {
          if (ofThisRun.size >= REMEMBERED) ofThisRun.clear();
          ofThisRun.add(peer);
        }
        const id = hex(session.id);
        return { blob, isLost: () => lostIds.has(id) };
      }),

    opened: (peer, ids) =>
      peerInTurn(peer, async () => {
        const session = await current(peer);
        if (session?.opening === undefined) return;
        const id = hex(session.id);
        if (ids.some((each) => hex(each) === id)) await commit(peer, confirmed(session), undefined);
      }),

    lost: (peer, ids) =>
      peerInTurn(peer, async () => {
        if ((await store.call('sessions.lost', { peer, ids })) === 0) return false;
        if (lostIds.size >= REMEMBERED) lostIds.clear();
        for (const id of ids) lostIds.add(hex(id));
        // Another one may help at once.
        refusals.delete(peer);
        return resealing.take(peer, 1, nowMs()).granted > 0;
      }),

    forget: () => store.call('sessions.forget-outgoing', { peer: null }),
  };
}
