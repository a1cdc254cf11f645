import { setTimeout as delay } from 'node:timers/promises';
import type { Ed25519PrivateKey, Logger } from '@libp2p/interface';
import type { ChatDecisions } from '../protocols/chat/decisions.ts';
import { openCapability, signCapability } from '../protocols/mailbox/capability.ts';
import type { Delivery } from './delivery/delivery.ts';
import { hashOfToken } from './invite.ts';
import { peerIdOf } from './peer-ids.ts';
import type { ReceivedBatch } from './store/incoming.ts';
import type { NodeStore } from './store/operations.ts';
import type { RequestRow } from './store/requests.ts';
import type { Standing } from './store/standings.ts';

const DAY_MS = 24 * 3_600_000;

/** How long others may deposit with what we sign once. Over a year: who comes back from one journey a year needs no new one. */
const CAPABILITY_LIFETIME_MS = 400 * DAY_MS;

/** Halfway through, another is signed and handed over in its place. */
const CAPABILITY_RENEWAL_MS = 200 * DAY_MS;

/** Who keeps us waiting is asked this often whether that is still so: an acceptance may have been lost. */
const ASK_AGAIN_MS = 3_600_000;

/** Whoever has many contacts does not dial them all at once. */
const BETWEEN_GIFTS_MS = 200;

/** After so long without a word the mailbox is tried again, too. */
const WAITING_FOR_MS = 7 * DAY_MS;

/** Capabilities of strangers whose first message is still on its way: they come in front of it. */
const MAX_EARLY = 64;

export interface AcquaintancesInit {
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  nowMs: () => number;
  log: Logger;
  signal: AbortSignal;
  /** Where what happens here is carried on; asked for when it is needed. */
  delivery: () => Pick<Delivery, 'arrived' | 'standAside' | 'present' | 'greet'>;
  /** Peer ids. */
  contacts: () => readonly string[];
  /** Somebody has become a contact. */
  onContact: (peer: string) => Promise<void>;
  /** What strangers ask for has changed. */
  onRequest: (peer: string, change: 'received' | 'accepted' | 'declined') => void;
  /** Our messages to somebody wait for their person to accept us, or do not any more. */
  onWaiting: (peer: string, waits: boolean) => void;
  /** A block came or went: mailboxes are to be told, and streams closed. */
  onBlock: (peer: string) => void;
}

export interface BlockedPeer {
  peer: string;
  sinceMs: number;
}

/** Who may write to us, to whom we may write, and what each side has been handed for that. */
export interface Acquaintances {
  /** What strangers have asked for, the first first. At most 20. */
  readonly requests: readonly RequestRow[];
  readonly blocked: readonly BlockedPeer[];
  isBlocked(peer: string): boolean;
  /** Whether a person at the other end has to accept us before more of ours is taken. */
  keepsUsWaiting(peer: string): boolean;
  /** Our right to deposit in a peer's mailboxes. */
  capabilityFrom(peer: string): Uint8Array | undefined;
  /** What mailboxes of ours have to be told: whom to refuse, and whom not any more. */
  blocksFor(mailbox: string): { block: BlockedPeer[]; unblock: string[] };
  /** A mailbox may hold the block of a peer from now on, or does not any more. */
  toldMailbox(mailbox: string, peers: readonly string[], holds: boolean): Promise<void>;
  /**
   * Makes a contact of somebody; what they asked for becomes a message.
   *
   * @returns false when the petname is another contact's
   */
  accept(peer: string, petname: string | null): Promise<boolean>;
  /** Forgets what somebody asked for. False when they asked for nothing. */
  decline(peer: string): Promise<boolean>;
  block(peer: string): Promise<void>;
  /** False when they were not blocked. */
  unblock(peer: string): Promise<boolean>;
  /** Shows a token of an invite of theirs when we meet. */
  showToken(peer: string, token: string): Promise<void>;
  /**
   * Messages are about to be sent: who is written to is accepted with that, and handed a right to answer. Undefined when there
   * is nothing to wait for.
   */
  beforeSending(peers: Iterable<string>): Promise<void> | undefined;
  /** A stranger's first message has been taken as a request. */
  requested(peer: string): void;
  /** Runs a chat stream's opening, and sees whether the other end still says that we wait. */
  opening<Value>(peer: string, open: () => Promise<Value>): Promise<Value>;
  readonly decisions: Required<Pick<ChatDecisions, 'inviteToken' | 'depositCapability' | 'pending'>>;
  /** Asks those who keep us waiting whether that is still so: the network is back. */
  askAgain(): void;
  /**
   * Does that now and then, and has every contact handed a right to deposit that is not too old, until the signal fires.
   */
  run(): Promise<void>;
}

export async function acquaintances(init: AcquaintancesInit): Promise<Acquaintances> {
  const { store, privateKey, nowMs, log, signal } = init;
  const self = privateKey.publicKey.toString();
  let requests: RequestRow[] = [];
  const standings = new Map<string, Standing>();
  /** Peers that said "pending" on a stream since it was opened. */
  const toldToWait = new Set<string>();
  const early = new Map<string, Uint8Array>();
  const issuing = new Set<string>();

  const readRequests = async (): Promise<void> => {
    requests = await store.call('requests.list', undefined);
  };
  const keepsUsWaiting = (peer: string): boolean => standings.get(peer)?.waitsMs !== undefined;
  const readStanding = async (peer: string): Promise<void> => {
    const standing = await store.call('standings.of', { peer });
    const waited = keepsUsWaiting(peer);
    if (standing === undefined) standings.delete(peer);
    else standings.set(peer, standing);
    if (keepsUsWaiting(peer) !== waited) init.onWaiting(peer, !waited);
  };
  await readRequests();
  for (const { peer, standing } of await store.call('standings.list', undefined))
    standings.set(peer, standing);

  const isContact = (peer: string): boolean => init.contacts().includes(peer);
  const isBlocked = (peer: string): boolean => standings.get(peer)?.decision?.kind === 'blocked';

  /** Runs in the background; what fails is done again at the next occasion. */
  const inBackground = (what: string, peer: string, act: () => Promise<unknown>): void => {
    act().catch((error: unknown) => {
      if (!signal.aborted) log('%s of %s: %s', what, peer, (error as Error).message);
    });
  };

  const isGiven = (peer: string): boolean => {
    const issuedMs = standings.get(peer)?.given?.issuedMs;
    return issuedMs !== undefined && Math.abs(nowMs() - issuedMs) < CAPABILITY_RENEWAL_MS;
  };

  /** Signs a right to deposit; it is handed over with what goes to the peer next. */
  const give = async (peer: string): Promise<void> => {
    if (issuing.has(peer) || isGiven(peer) || isBlocked(peer) || peer === self) return;
    issuing.add(peer);
    try {
      const issuedMs = nowMs();
      const capability = await signCapability(privateKey, {
        depositor: peerIdOf(peer),
        issuedMs,
        expiresMs: issuedMs + CAPABILITY_LIFETIME_MS,
      });
      await store.call('standings.give', { peer, capability, issuedMs });
      await readStanding(peer);
    } finally {
      issuing.delete(peer);
    }
  };

  /** What we gave is handed over, and what waits on either side goes on its way. */
  const meet = async (peer: string): Promise<void> => {
    await give(peer);
    await init.delivery().present(peer);
    init.delivery().greet(peer);
  };

  /** Those who were contacts before there were rights to deposit, and those whose right gets old. */
  const giveAll = async (): Promise<void> => {
    for (const peer of init.contacts()) {
      if (isGiven(peer) || isBlocked(peer) || signal.aborted) continue;
      try {
        await give(peer);
        await init.delivery().present(peer);
      } catch (error) {
        log('no right to deposit was handed to %s: %s', peer, (error as Error).message);
      }
      await delay(BETWEEN_GIFTS_MS, undefined, { signal }).catch(() => undefined);
    }
  };

  const accepted = async (
    peer: string,
    { message, batch }: { message?: Uint8Array; batch?: ReceivedBatch },
  ): Promise<void> => {
    await readRequests();
    await init.onContact(peer);
    if (batch !== undefined && message !== undefined) {
      init.onRequest(peer, 'accepted');
      init.delivery().arrived(peer, [message], batch);
    }
    inBackground('nothing was handed over at the acceptance', peer, () => meet(peer));
  };

  const accept = async (peer: string, petname: string | null): Promise<boolean> => {
    const { outcome, ...received } = await store.call('requests.accept', { peer, petname, nowMs: nowMs() });
    if (outcome === 'petname-taken') return false;
    await accepted(peer, received);
    return true;
  };

  const setWaiting = async (peer: string, sinceMs: number | null): Promise<void> => {
    await store.call('standings.waits', { peer, sinceMs });
    await readStanding(peer);
  };

  const acquainted: Acquaintances = {
    get requests() {
      return requests;
    },
    get blocked() {
      return Array.from(standings, ([peer, { decision }]) => ({ peer, decision })).flatMap(
        ({ peer, decision }) => (decision?.kind === 'blocked' ? [{ peer, sinceMs: decision.sinceMs }] : []),
      );
    },
    isBlocked,
    keepsUsWaiting,

    capabilityFrom(peer) {
      const kept = standings.get(peer)?.kept;
      return kept === undefined ? undefined : Buffer.from(kept, 'base64');
    },

    blocksFor(mailbox) {
      const unblock = Array.from(standings).flatMap(([peer, { decision, mailboxes }]) =>
        decision?.kind !== 'blocked' && mailboxes?.includes(mailbox) === true ? [peer] : [],
      );
      return { block: [...acquainted.blocked], unblock };
    },

    async toldMailbox(mailbox, peers, holds) {
      for (const peer of peers) {
        if (standings.get(peer)?.mailboxes?.includes(mailbox) === holds) continue;
        await store.call('standings.mailbox', { peer, mailbox, holds });
        await readStanding(peer);
      }
    },

    accept,

    async decline(peer) {
      const isDeclined = await store.call('requests.decline', { peer, nowMs: nowMs() });
      await readRequests();
      if (isDeclined) init.onRequest(peer, 'declined');
      return isDeclined;
    },

    async block(peer) {
      const wasRequest = requests.some((request) => request.peer === peer);
      await Promise.all([
        store.call('standings.block', { peer, nowMs: nowMs() }),
        store.call('sessions.forget', { peer }),
      ]);
      await readRequests();
      for (const { peer, standing } of await store.call('standings.list', undefined))
        standings.set(peer, standing);
      if (wasRequest) init.onRequest(peer, 'declined');
      await init.delivery().standAside(peer, { requeue: false });
      init.onBlock(peer);
    },

    async unblock(peer) {
      if (!(await store.call('standings.unblock', { peer, nowMs: nowMs() }))) return false;
      await readStanding(peer);
      init.onBlock(peer);
      // What was given before the block is void.
      if (isContact(peer)) inBackground('nothing was handed over', peer, () => meet(peer));
      return true;
    },

    async showToken(peer, token) {
      await store.call('standings.show-token', { peer, token });
      await readStanding(peer);
    },

    beforeSending(peers) {
      let accepting: Promise<unknown>[] | undefined;
      for (const peer of new Set(peers)) {
        if (!isGiven(peer)) inBackground('no right to deposit was signed', peer, () => give(peer));
        if (requests.some((request) => request.peer === peer)) (accepting ??= []).push(accept(peer, null));
      }
      return accepting === undefined ? undefined : Promise.all(accepting).then(() => undefined);
    },

    requested(peer) {
      inBackground('the request was not shown', peer, async () => {
        const capability = early.get(peer);
        early.delete(peer);
        if (capability !== undefined) {
          await store.call('standings.keep', { peer, capability });
          await readStanding(peer);
        }
        await readRequests();
        init.onRequest(peer, 'received');
      });
    },

    async opening(peer, open) {
      toldToWait.delete(peer);
      const opened = await open();
      if (!toldToWait.has(peer) && keepsUsWaiting(peer)) await setWaiting(peer, null);
      return opened;
    },

    decisions: {
      async inviteToken(peer, token) {
        const use = await store.call('invites.use', { hash: hashOfToken(token), peer, nowMs: nowMs() });
        if (use.outcome === 'accepted') await accepted(peer, use);
      },

      async depositCapability(peer, capability) {
        const held = standings.get(peer);
        const kept = Buffer.from(capability).toString('base64');
        const isNew = held?.kept !== kept;
        if (!isNew && held?.waitsMs === undefined && held?.token === undefined) return;
        if (isNew) {
          try {
            await openCapability(capability, {
              recipient: peerIdOf(peer),
              depositor: peerIdOf(self),
              nowMs: nowMs(),
            });
          } catch (error) {
            log('a right to deposit of %s is none: %s', peer, (error as Error).message);
            return;
          }
        }
        if (!(await store.call('standings.keep', { peer, capability }))) {
          early.delete(peer);
          early.set(peer, capability);
          if (early.size > MAX_EARLY) early.delete(early.keys().next().value!);
          return;
        }
        await readStanding(peer);
        // What their mailbox did not take of a stranger, it may take now.
        await init.delivery().present(peer);
        // They have accepted us: what waits for that goes now.
        if (held?.waitsMs !== undefined) init.delivery().greet(peer);
      },

      async pending(peer) {
        // Somebody whom we have written to nothing has nothing of ours to take.
        if (!isContact(peer) && standings.get(peer)?.given === undefined) return;
        toldToWait.add(peer);
        if (!keepsUsWaiting(peer)) await setWaiting(peer, nowMs());
        if (keepsUsWaiting(peer)) await init.delivery().standAside(peer, { requeue: true });
      },
    },

    askAgain() {
      for (const [peer, { waitsMs }] of standings)
        if (waitsMs !== undefined && !isBlocked(peer)) init.delivery().greet(peer);
    },

    async run() {
      while (!signal.aborted) {
        acquainted.askAgain();
        await giveAll();
        for (const [peer, { waitsMs }] of standings) {
          if (waitsMs === undefined || Math.abs(nowMs() - waitsMs) < WAITING_FOR_MS) continue;
          await setWaiting(peer, null);
          init.delivery().greet(peer);
        }
        await delay(ASK_AGAIN_MS, undefined, { signal }).catch(() => undefined);
      }
    },
  };
  return acquainted;
}
