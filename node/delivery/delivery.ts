import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@libp2p/interface';
import { InvalidMessageError } from '@libp2p/interface';
import type { ChatDecisions } from '../../protocols/chat/decisions.ts';
import { ID_BYTES } from '../../protocols/chat/message.ts';
import { encodeReceipt } from '../../protocols/chat/protocol.ts';
import type { Acquaintances } from '../acquaintances.ts';
import type { OutgoingSessions } from '../outgoing-sessions.ts';
import type { PrekeyExchange } from '../prekey-exchange.ts';
import { sortFrames } from '../../protocols/chat/decisions.ts';
import type { ReceivedBatch } from '../store/incoming.ts';
import { formatMessageId } from '../store/message-id.ts';
import type { NodeStore } from '../store/operations.ts';
import type { TakeArguments } from '../store/sessions.ts';
import type { SentBatch } from '../store/outgoing.ts';
import type { ReadUpTo } from '../store/history.ts';
import type { AckedBatch, ChangedBatch, SettledBatch } from '../store/states.ts';
import { peerDelivery } from './peer-delivery.ts';
import type { PeerDelivery } from './peer-delivery.ts';
import type { Sleep, Ways } from './ways.ts';

export type OutgoingState = 'queued' | 'stored' | 'delivered' | 'read' | 'failed';

/** Own messages that reached a state together. `idAt` makes the text form of an id only for who asks. */
export interface StateChange {
  peer: string;
  state: OutgoingState;
  failure: string | null;
  rows: Float64Array;
  idAt(index: number): string;
}

/** A message as `send` takes it; `peer` is a peer id. */
export interface Outgoing {
  peer: string;
  text: string;
}

/** Told of each state that messages of one `send` reach, by their index in it. */
export type Tracker = (changes: { index: number; state: OutgoingState; failure: string | null }[]) => void;

export interface Committed {
  rows: Float64Array;
  idAt(index: number): string;
  /** Ends the tracking, when nobody listens any more. */
  untrack(): void;
}

export interface Delivery {
  /** Commits messages to the outbox and sets them on their way. Resolves once they are on disk: the state `queued`. */
  send(items: Outgoing[], tracker?: Tracker): Promise<Committed>;
  /** What comes in on streams. */
  readonly decisions: ChatDecisions;
  /**
   * Takes frames out of a peer's sealed blobs, one after the other, together with the keys that opened them; what is
   * malformed is passed over.
   *
   * @param keys their states are overwritten
   * @throws StoreError if they can't be stored now
   */
  receiveBundles(
    peer: string,
    bundles: readonly Uint8Array[][],
    keys: Pick<TakeArguments, 'sessions' | 'usedPrekeys'>,
  ): Promise<void>;
  /**
   * Blobs that a peer left can't be opened: it is told, so that it seals again what is in them.
   *
   * @throws StoreError if that can't be noted now
   */
  lostSessions(peer: string, ids: readonly Uint8Array[]): Promise<void>;
  /** Tells a peer what has been read, if it is there to be told. */
  sendReceipts(peer: string, receipts: ReadUpTo[]): void;
  /** Tells of messages of a peer that were committed by another way than its own. */
  arrived(peer: string, messages: readonly Uint8Array[], batch: ReceivedBatch): void;
  /**
   * Ends the stream that messages go to a peer on: it takes none now.
   *
   * @param options.requeue what waits in its mailbox counts as not sent
   */
  standAside(peer: string, options: { requeue: boolean }): Promise<void>;
  /** A peer was seen: try now what waits for it. */
  present(peer: string): Promise<void>;
  /** Opens a chat stream to a peer even if nothing waits. */
  greet(peer: string): void;
  /** What `hello` gives has changed: everybody on a stream hears it. */
  greetAnew(): void;
  /** The network is back: try everything that waits. */
  networkChanged(): void;
  /** Takes up what was waiting when the daemon stopped. */
  start(): Promise<void>;
  troubleWith(peer: string): PeerDelivery['trouble'] | undefined;
}

/** A message of a peer that was just committed. */
export interface Arrival {
  row: number;
  /** The encoded Message. */
  message: Uint8Array;
  receivedAtMs: number;
  clockMs: number;
  clockCount: number;
  /** How many messages of its author before it have not arrived. */
  missing: number;
}

export interface DeliveryInit {
  store: NodeStore;
  ways: Ways;
  /** What is sealed for mailboxes. */
  sessions: Pick<OutgoingSessions, 'opened' | 'lost' | 'forget'>;
  prekeys: PrekeyExchange;
  log: Logger;
  now: () => number;
  random: () => number;
  /** Default: the clock's own. */
  sleep?: Sleep;
  /** Default 1,000. */
  rememberedPeers?: number;
  signal: AbortSignal;
  hello: ChatDecisions['hello'];
  greeted: ChatDecisions['greeted'];
  onChange(change: StateChange): void;
  onReceived(peer: string, arrivals: Arrival[]): void;
  acquaintances: Pick<Acquaintances, 'beforeSending' | 'requested' | 'keepsUsWaiting' | 'decisions'>;
  onSent(batch: SentBatch, items: Outgoing[], sentAtMs: number): void;
}

/**
 * Peers whose last attempt is remembered while nothing waits for them, some 3 kB each. Strangers who leave something in our
 * mailbox are among them.
 */
const REMEMBERED_PEERS = 1_000;

/** What a power cut takes of these, the other end says again: they need not wait for the disk. */
const RELAXED = { durability: 'process' } as const;

/** The one refusal that a person who writes can do something about at once. */
const TOO_LONG_AT_FIRST =
  'they do not know you yet, and take only a short message at first: introduce yourself in at most 1 KiB, and send this again when you are accepted';

/** What of a batch belongs to one chain: it goes out as one piece. */
function* runsOf(batch: SentBatch): Generator<{ first: number; last: number; from: number; to: number }> {
  for (let from = 0; from < batch.rows.length;) {
    let to = from + 1;
    while (to < batch.rows.length && batch.chains[to] === batch.chains[from]) to++;
    yield { first: batch.counters[from]!, last: batch.counters[to - 1]!, from, to };
    from = to;
  }
}

const countIn = ({ settled }: SettledBatch): number =>
  settled.reduce((sum, { first, last }) => sum + last - first + 1, 0);

export function delivery(init: DeliveryInit): Delivery {
  const { store, ways, log, now, random, signal } = init;
  const sleep = init.sleep ?? ((ms, options) => delay(ms, undefined, options));
  const rememberedPeers = init.rememberedPeers ?? REMEMBERED_PEERS;
  const peers = new Map<string, PeerDelivery>();
  let forgetAt = rememberedPeers;
  const trackers = new Map<number, { index: number; tracker: Tracker }>();

  const changed = (batch: ChangedBatch | undefined, state: OutgoingState, failure: string | null): void => {
    if (batch === undefined || batch.rows.length === 0) return;
    const { peer, rows, ids } = batch;
    const told = new Map<Tracker, { index: number; state: OutgoingState; failure: string | null }[]>();
    if (trackers.size > 0) {
      for (const row of rows) {
        const tracked = trackers.get(row);
        if (tracked === undefined) continue;
        if (state !== 'stored' && state !== 'queued') trackers.delete(row);
        const changes = told.get(tracked.tracker);
        const change = { index: tracked.index, state, failure };
        if (changes === undefined) told.set(tracked.tracker, [change]);
        else changes.push(change);
      }
    }
    init.onChange({ peer, state, failure, rows, idAt: (index) => formatMessageId(ids, index * ID_BYTES) });
    for (const [tracker, changes] of told) tracker(changes);
  };

  const settled = (batch: SettledBatch | undefined, state: OutgoingState, failure: string | null): void => {
    changed(batch, state, failure);
    if (batch !== undefined) peers.get(batch.peer)?.live?.acknowledged(batch.chain, batch.settled);
  };

  const forgetIdle = (): void => {
    for (const [peer, { idle }] of peers) if (idle) peers.delete(peer);
    // Not at every new peer, when there is work for more than that.
    forgetAt = Math.max(rememberedPeers, 2 * peers.size);
  };

  const peerOf = (peer: string): PeerDelivery => {
    let known = peers.get(peer);
    if (known === undefined) {
      if (peers.size >= forgetAt) forgetIdle();
      known = peerDelivery({
        peer,
        store,
        ways,
        askForPrekeys: () => init.prekeys.ask(peer),
        log,
        now,
        random,
        sleep,
        signal,
        onStored: (batch) => changed(batch, 'stored', null),
      });
      peers.set(peer, known);
    }
    return known;
  };

  /** Tells of what was committed of some messages. Returns what to answer. */
  const received = (
    peer: string,
    messages: readonly Uint8Array[],
    { batch, nowMs }: { batch: ReceivedBatch; nowMs: number },
  ): Uint8Array[] => {
    for (const why of batch.refused) log('refused a message of %s: %s', peer, why);
    if (batch.requested === true) init.acquaintances.requested(peer);
    if (batch.rows.length > 0) {
      init.onReceived(
        peer,
        Array.from(batch.rows, (row, at) => ({
          row,
          message: messages[batch.indexes[at]!]!,
          receivedAtMs: nowMs,
          clockMs: batch.places[at * 3]!,
          clockCount: batch.places[at * 3 + 1]!,
          missing: batch.places[at * 3 + 2]!,
        })),
      );
    }
    return batch.answers;
  };

  /** Our store is an old copy of itself, as an acknowledgement shows: what it thinks undelivered is sent again. */
  const goneBack = async (batch: AckedBatch): Promise<void> => {
    // The keys that it would seal with have been used since the copy was made.
    await init.sessions.forget();
    log('%s has what this store does not know of: %d messages begin a new chain', batch.peer, countIn(batch));
    settled(batch, 'queued', null);
    const peer = peerOf(batch.peer);
    // A stream that is open may have the old numbers on their way, which nobody will acknowledge.
    if (peer.live !== undefined) peer.live.close();
    else if (batch.settled.length > 0) peer.wake();
  };

  const decisions: ChatDecisions = {
    hello: init.hello,
    greeted(peer, hello) {
      init.greeted(peer, hello);
      peers.get(peer)?.present();
    },
    held: async (peer) => {
      const [{ answers }, wanted] = await Promise.all([
        store.call('messages.acks', { peer, owedOnly: false }),
        init.prekeys.ask(peer),
      ]);
      return [...answers, ...wanted];
    },
    async receive(peer, messages) {
      const nowMs = now();
      const batch = await store.call('messages.receive', { peer, messages, viaMailbox: false, nowMs });
      return received(peer, messages, { batch, nowMs });
    },
    async acked(peer, ack) {
      const batch = await store.call('messages.acked', { peer, ...ack }, RELAXED);
      if (batch?.outcome === 'impossible')
        throw new InvalidMessageError('an ack for messages that were never sent');
      if (batch?.outcome === 'forked') await goneBack(batch);
      else settled(batch, 'delivered', null);
    },
    async refused(peer, chain, counter, reason) {
      const why = reason === 'stranger' ? TOO_LONG_AT_FIRST : reason;
      settled(await store.call('messages.refused', { peer, chain, counter, reason: why }), 'failed', why);
    },
    async receipt(peer, chain, readUpTo, hash) {
      settled(await store.call('messages.receipt', { peer, chain, readUpTo, hash }, RELAXED), 'read', null);
    },
    async sessionNotice(peer, { opened, lost }) {
      if (opened.length > 0) await init.sessions.opened(peer, opened);
      if (lost.length === 0 || !(await init.sessions.lost(peer, lost))) return;
      log('%s can not open what is sealed for it: it is sealed again', peer);
      for (const batch of await store.call('messages.unstored', { peer })) changed(batch, 'queued', null);
      peerOf(peer).wake();
    },
    prekeysWanted: init.prekeys.prekeysWanted,
    prekeys: init.prekeys.prekeys,
    ...init.acquaintances.decisions,
  };
  /** Nobody is there to be handed prekeys. */
  const mailDecisions: ChatDecisions = { ...decisions, prekeysWanted: async () => [] };

  /** Whether a peer is owed something besides messages. */
  const isOwed = async (peer: string): Promise<boolean> => {
    const [{ answers }, { lost, opened }] = await Promise.all([
      store.call('messages.acks', { peer, owedOnly: true }),
      store.call('sessions.notices', { peer }),
    ]);
    return answers.length + lost.length + opened.length > 0;
  };

  return {
    async send(items, tracker) {
      // Most of the time there is nothing to wait for, and a turn counts.
      const accepted = init.acquaintances.beforeSending(items.map(({ peer }) => peer));
      if (accepted !== undefined) await accepted;
      const nowMs = now();
      const batch = await store.call('messages.send', { items, nowMs });
      if (tracker !== undefined) {
        for (const [index, row] of batch.rows.entries()) trackers.set(row, { index, tracker });
      }
      init.onSent(batch, items, nowMs);
      for (const { first, last, from, to } of runsOf(batch)) {
        const peer = peerOf(items[from]!.peer);
        const encoded = batch.frames.subarray(from === 0 ? 0 : batch.ends[from - 1], batch.ends[to - 1]);
        if (peer.live === undefined || init.acquaintances.keepsUsWaiting(items[from]!.peer)) peer.wake();
        else peer.live.offer(batch.chains[from]!, first, last, encoded);
      }
      return {
        rows: batch.rows,
        idAt: (index) => formatMessageId(batch.ids, index * ID_BYTES),
        untrack() {
          for (const row of batch.rows) trackers.delete(row);
        },
      };
    },

    decisions,

    arrived(peer, messages, batch) {
      const nowMs = now();
      if (received(peer, messages, { batch, nowMs }).length > 0) peerOf(peer).wake();
    },

    async standAside(peer, { requeue }) {
      peers.get(peer)?.live?.close();
      if (!requeue) return;
      for (const batch of await store.call('messages.unstored', { peer })) changed(batch, 'queued', null);
    },

    async receiveBundles(peer, bundles, keys) {
      const messages: Uint8Array[] = [];
      for (const frames of bundles) {
        try {
          const sorted = sortFrames(frames);
          messages.push(...sorted.messages);
          // Before the keys go: when that fails, all of it comes again, and is told again.
          await sorted.tell(mailDecisions, peer);
        } catch (error) {
          // It would be no better the next time, and what lies behind it in the mailbox has to come through.
          if (!(error instanceof InvalidMessageError)) throw error;
          log('passed over frames out of the mailbox from %s: %s', peer, error.message);
        }
      }
      const nowMs = now();
      const batch = await store.call('sessions.take', { peer, messages, ...keys, nowMs });
      for (const { state } of keys.sessions) state.fill(0);
      // The acknowledgements are owed on disk. A refusal is given when the author tries a stream.
      if (received(peer, messages, { batch, nowMs }).length > 0) peerOf(peer).wake();
    },

    async lostSessions(peer, ids) {
      if (await store.call('sessions.owe-lost', { peer, ids })) peerOf(peer).wake();
    },

    sendReceipts(peer, receipts) {
      const frames = receipts.map(({ chain, readUpTo, hash }) => encodeReceipt(chain, readUpTo, hash));
      if (frames.length > 0) peers.get(peer)?.live?.write(frames);
    },

    async present(peer) {
      const known = peers.get(peer);
      known?.present();
      if (known?.live !== undefined) return;
      const waiting = (await store.call('messages.pending', { peer })).length > 0;
      if (waiting || (await isOwed(peer))) peerOf(peer).wake();
    },

    greet: (peer) => peerOf(peer).wake(),

    greetAnew() {
      for (const peer of peers.values()) peer.greetAnew();
    },

    networkChanged() {
      for (const peer of peers.values()) peer.present();
    },

    async start() {
      const [waiting, notified] = await Promise.all([
        store.call('messages.waiting-peers', undefined),
        store.call('sessions.notified-peers', undefined),
      ]);
      for (const peer of new Set([...waiting, ...notified])) peerOf(peer).wake();
    },

    troubleWith: (peer) => peers.get(peer)?.trouble,
  };
}
