import type { Logger, PeerId } from '@libp2p/interface';
import type { DepositorsClient } from '../protocols/mailbox/depositors-client.ts';
import { MAX_BLOCKED_DEPOSITORS } from '../protocols/mailbox/depositors-frames.ts';
import { MailboxError } from '../protocols/mailbox/errors.ts';
import type { Acquaintances } from './acquaintances.ts';
import type { Sleep } from './delivery/ways.ts';
import { peerIdOf } from './peer-ids.ts';

/** A mailbox that could not be told is told again: its rates allow that many times over. */
const RETRY_MS = 60_000;

/**
 * A mailbox keeps a block for 730 days after it was told, and a connection may hold for long: it is told again after this. No timer
 * of Node runs for more than 24 days.
 */
const RENEWAL_MS = 7 * 24 * 3_600_000;

/** A mailbox of ours. */
export interface ToldMailbox {
  peerId: PeerId;
  isConnected: () => boolean;
  /** What it is told with. */
  depositors: DepositorsClient;
}

export interface MailboxBlocksInit {
  acquaintances: Pick<Acquaintances, 'blocksFor' | 'toldMailbox'>;
  log: Logger;
  sleep: Sleep;
  signal: AbortSignal;
}

/**
 * Has our mailboxes refuse whom the user has blocked. All of it is told again at each connection, as a mailbox may have lost
 * its disk, and each week while one holds, long before it would forget; that a block is over is told until each mailbox that was told of it has taken it.
 *
 * @returns what tells a mailbox, in the background, again until it is done or the mailbox has gone
 */
export function mailboxBlocks({
  acquaintances,
  log,
  sleep,
  signal,
}: MailboxBlocksInit): (mailbox: ToldMailbox) => void {
  const telling = new Map<string, { again: boolean }>();

  const renewals = new Map<string, AbortController>();

  /** @returns how many depositors it refuses for us now */
  const tellOnce = async ({ peerId, depositors }: ToldMailbox): Promise<number> => {
    const mailbox = peerId.toString();
    const { block, unblock } = acquaintances.blocksFor(mailbox);
    // The last ones are those that the user thinks of.
    const told = block.toSorted((a, b) => a.sinceMs - b.sinceMs).slice(-MAX_BLOCKED_DEPOSITORS);
    if (told.length > 0) {
      // Before it is told: without an answer, it may be blocked there.
      const peers = told.map(({ peer }) => peer);
      await acquaintances.toldMailbox(mailbox, peers, true);
      // The time of the last block for all: what is signed for somebody after an unblock is later than that, too.
      await depositors.block(peers.map(peerIdOf), { atMs: told.at(-1)!.sinceMs, signal });
    }
    for (let from = 0; from < unblock.length; from += MAX_BLOCKED_DEPOSITORS) {
      const peers = unblock.slice(from, from + MAX_BLOCKED_DEPOSITORS);
      await depositors.unblock(peers.map(peerIdOf), { signal });
      await acquaintances.toldMailbox(mailbox, peers, false);
    }
    return told.length;
  };

  const tell = async (mailbox: ToldMailbox, state: { again: boolean }): Promise<number> => {
    let blocks = 0;
    while (state.again && mailbox.isConnected() && !signal.aborted) {
      state.again = false;
      try {
        blocks = await tellOnce(mailbox);
      } catch (error) {
        log('%p was not told whom to refuse: %s', mailbox.peerId, (error as Error).message);
        if (error instanceof MailboxError && error.code === 'unsupported') return 0;
        await sleep(RETRY_MS, { signal }).catch(() => undefined);
        state.again = true;
      }
    }
    return blocks;
  };

  const renewLater = async (mailbox: ToldMailbox, key: string): Promise<void> => {
    const overtaken = new AbortController();
    renewals.set(key, overtaken);
    try {
      await sleep(RENEWAL_MS, { signal: AbortSignal.any([signal, overtaken.signal]) });
    } catch {
      return;
    }
    renewals.delete(key);
    begin(mailbox);
  };

  const begin = (mailbox: ToldMailbox): void => {
    const key = mailbox.peerId.toString();
    const known = telling.get(key);
    if (known !== undefined) {
      known.again = true;
      return;
    }
    renewals.get(key)?.abort();
    renewals.delete(key);
    const state = { again: true };
    telling.set(key, state);
    void tell(mailbox, state).then((blocks) => {
      telling.delete(key);
      // Of one that has gone meanwhile, nothing: it is told when it is back.
      if (blocks > 0 && mailbox.isConnected() && !signal.aborted) void renewLater(mailbox, key);
    });
  };
  return begin;
}
