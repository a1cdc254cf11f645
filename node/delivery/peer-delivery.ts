import type { Logger } from '@libp2p/interface';
import type { OpenChat } from '../../protocols/chat/client.ts';
import { encodeSessionNotice } from '../../protocols/chat/protocol.ts';
import { StoreError } from '../../protocols/group-commit/operations.ts';
import type { NodeStore } from '../store/operations.ts';
import type { ChangedBatch } from '../store/states.ts';
import { backoffMs } from './backoff.ts';
import { liveSender } from './live-sender.ts';
import type { LiveSender } from './live-sender.ts';
import { mailSender } from './mail-sender.ts';
import type { Owed } from './mail-sender.ts';
import type { Sleep, Ways } from './ways.ts';

/** When nobody has answered after this long, messages go to the mailbox while dialling goes on. */
const MAILBOX_AFTER_MS = 2_000;

/** After a dial failed, a new message is left in the mailbox at once for this long, instead of dialling for each. */
const DIAL_REST_MS = 5_000;

/** A stream that broke before this is no sign that the peer is well. */
const SHORT_LIVED_MS = 1_000;

export interface PeerDeliveryInit {
  peer: string;
  store: NodeStore;
  ways: Ways;
  /** What to say to the peer when it is here, about prekeys. */
  askForPrekeys: () => Promise<Uint8Array[]>;
  log: Logger;
  now: () => number;
  random: () => number;
  /** Resolves after so long; rejects when the signal fires. */
  sleep: Sleep;
  signal: AbortSignal;
  onStored(batch: ChangedBatch): void;
}

/** Brings what is in the outbox for one peer to it, by a live stream or its mailbox, for as long as it takes. */
export interface PeerDelivery {
  /** There is something for the peer, or it was asked for. Committed frames may come along. */
  wake(): void;
  /** The peer, or the network, is back: forget the backoff, and see whether what is open still leads to it. */
  present(): void;
  /** What we say of ourselves has changed: a peer that has heard it hears it again, on a new stream. */
  greetAnew(): void;
  readonly live: LiveSender | undefined;
  /** There is nothing to do and no stream: all it knows can be forgotten. */
  readonly idle: boolean;
  /** Why the peer could not be reached last, and why its mailbox refused. */
  readonly trouble: { readonly dial: string | undefined; readonly mailbox: string | undefined };
}

export function peerDelivery(init: PeerDeliveryInit): PeerDelivery {
  const { peer, store, ways, askForPrekeys, log, now, random, sleep, signal } = init;
  let dialTrouble: string | undefined;
  let live: LiveSender | undefined;
  /** Attempts that failed in a row, and when the last one did. */
  let failures = 0;
  let failedMs: number | undefined;
  let running = false;
  let rest: AbortController | undefined;
  /** Set by `wake`: something came since the loop looked last. */
  let fresh = false;
  /** Set by `greetAnew`: the stream ends only to begin again. */
  let reopening = false;
  /** Set by `present`: the peer came back since the loop looked last. */
  let returned = false;
  let dialling = false;
  /** The dial has taken so long that the mailbox is used meanwhile. */
  let overdue = false;
  /** The peer was seen while it was dialled; whether that was so at the failure before, too. */
  let seen = false;
  let seenBefore = false;

  /** What is wrong with the store is said once for all peers, by those who hold it. */
  const complain = (what: string, peer: string, error: unknown): void =>
    (error instanceof StoreError ? log : log.error)(what, peer, error);

  /**
   * Acknowledgements that are owed, and what the peer has to be told of its sessions. That one was opened here is `urgent`
   * to nobody: through a mailbox it waits for something to go with, as its blob would be answered with another.
   */
  const owed = async (): Promise<Owed> => {
    const [{ answers, ...acks }, notices] = await Promise.all([
      store.call('messages.acks', { peer, owedOnly: true }),
      store.call('sessions.notices', { peer }),
    ]);
    const isNoticed = notices.opened.length + notices.lost.length > 0;
    return {
      frames: isNoticed ? [...answers, encodeSessionNotice(notices)] : answers,
      hasLost: notices.lost.length > 0,
      urgent: answers.length + notices.lost.length > 0,
      async paid() {
        await Promise.all([
          ...(answers.length > 0 ? [store.call('messages.acks-paid', { peer, ...acks })] : []),
          ...(isNoticed ? [store.call('sessions.notices-paid', { peer, ...notices })] : []),
        ]);
      },
    };
  };

  const mail = mailSender({
    ...init,
    owed,
    isLive: () => live !== undefined,
    mayAnswer: () => dialling && !overdue,
  });

  const payLive = async (sender: LiveSender): Promise<void> => {
    const { frames, paid } = await owed();
    if (frames.length === 0) return;
    sender.write(frames);
    await paid();
  };

  const greetLive = async (sender: LiveSender): Promise<void> => {
    const asked = await askForPrekeys();
    if (asked.length > 0) sender.write(asked);
    await payLive(sender);
  };

  /**
   * Pays on a stream that has been open for a while. That messages came through the mailbox beside it may mean that it
   * leads nowhere, and what goes out on it counts as paid.
   */
  const payVerified = async (sender: LiveSender): Promise<void> => {
    if (!(await owed()).urgent) return;
    if ((await sender.verify()) && live === sender) await payLive(sender);
  };

  /** Stays with an open stream until it is over. A stream that ends at once counts as a failed attempt. */
  const stayLive = async (chat: OpenChat): Promise<void> => {
    const sender = liveSender({ chat, peer, store, verify: (options) => ways.verify(peer, options) });
    const sinceMs = now();
    live = sender;
    fresh = false;
    dialTrouble = undefined;
    if (reopening) sender.close();
    try {
      await Promise.all([sender.run(), greetLive(sender)]);
      if (now() - sinceMs < SHORT_LIVED_MS && !reopening)
        throw new Error('the peer closed the stream at once');
    } catch (error) {
      sender.close();
      if (now() - sinceMs < SHORT_LIVED_MS && !reopening) throw error;
      log('lost %s: %s', peer, (error as Error).message);
    } finally {
      live = undefined;
      fresh ||= reopening;
      reopening = false;
    }
    failures = 0;
    mail.forgetRefusals();
  };

  /** Tries once to reach the peer, with the mailbox after two seconds, and stays while the stream lasts. */
  const attempt = async (): Promise<void> => {
    const done = new AbortController();
    sleep(MAILBOX_AFTER_MS, { signal: done.signal }).then(
      () => {
        if (done.signal.aborted) return;
        overdue = true;
        void mail.deposit();
      },
      () => undefined,
    );
    let chat: OpenChat;
    dialling = true;
    reopening = false;
    seen = false;
    try {
      chat = await ways.openChat(peer, { signal });
      seen = false;
    } finally {
      done.abort();
      dialling = false;
      overdue = false;
    }
    await stayLive(chat);
  };

  const failed = (error: Error): void => {
    // Seen and yet not reached by an old address: try soon. Unless that goes on: then our own dials are what was seen.
    failures = seen && !seenBefore ? 1 : failures + 1;
    seenBefore = seen;
    failedMs = now();
    dialTrouble = error.message;
    log('not reached %s: %s', peer, dialTrouble);
    // Not waited for: a mailbox that says nothing must not keep us from dialling again.
    void mail.deposit();
  };

  /** Whether dialling again would be too soon. A clock set back is no reason to wait for it to come round. */
  const restsFromDialling = (): boolean => {
    const sinceMs = failedMs === undefined ? Infinity : now() - failedMs;
    return sinceMs >= 0 && sinceMs < DIAL_REST_MS;
  };

  const hasWork = async (): Promise<boolean> => {
    if (fresh) return true;
    try {
      if ((await store.call('messages.pending', { peer })).length > 0) return true;
      return (await owed()).urgent;
    } catch (error) {
      complain('the outbox for %s could not be read: %e', peer, error);
      return true;
    }
  };

  const restBetween = async (ms: number): Promise<void> => {
    rest = new AbortController();
    await sleep(ms, { signal: AbortSignal.any([signal, rest.signal]) }).catch(() => undefined);
    rest = undefined;
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted && (await hasWork())) {
      fresh = false;
      returned = false;
      if (restsFromDialling()) void mail.deposit();
      else {
        try {
          await attempt();
          continue;
        } catch (error) {
          if (signal.aborted) return;
          failed(error as Error);
        }
      }
      if (!fresh && !returned) await restBetween(backoffMs(Math.max(1, failures), random()));
    }
  };

  const self: PeerDelivery = {
    get live() {
      return live;
    },
    get idle() {
      return !running && live === undefined && !mail.busy;
    },
    trouble: {
      get dial() {
        return dialTrouble;
      },
      get mailbox() {
        return mail.trouble;
      },
    },
    wake() {
      if (live !== undefined) {
        live.wake();
        // What breaks this breaks the stream's own reading of the store too, and that is reported there.
        payVerified(live).catch(() => undefined);
        return;
      }
      fresh = true;
      rest?.abort();
      if (overdue) void mail.deposit();
      if (running || signal.aborted) return;
      running = true;
      run()
        .catch((error: unknown) => complain('delivery to %s stopped: %e', peer, error))
        .finally(() => {
          running = false;
          if (fresh && !signal.aborted) self.wake();
        });
    },
    present() {
      mail.forgetRefusals();
      if (dialling) {
        seen = true;
        if (overdue) void mail.deposit();
        return;
      }
      // Who greets anew has lost its own stream, and over another network ours leads nowhere.
      if (live !== undefined) void live.verify();
      failures = 0;
      failedMs = undefined;
      returned = true;
      rest?.abort();
    },
    greetAnew() {
      // What is being opened may have said it already.
      if (live === undefined && !dialling) return;
      reopening = true;
      live?.close();
    },
  };
  return self;
}
