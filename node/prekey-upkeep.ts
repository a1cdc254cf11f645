import { randomBytes } from 'node:crypto';
import type { Ed25519PrivateKey, Logger } from '@libp2p/interface';
import { signPrekey } from '../protocols/mailbox/prekey.ts';
import type { HeldPrekey } from '../protocols/mailbox/prekey-frames.ts';
import type { PrekeysClient } from '../protocols/mailbox/prekeys-client.ts';
import type { Sleep } from './delivery/ways.ts';
import { newPrekeys } from './prekey-exchange.ts';
import { INCOMING_KEPT_MS } from './sessions/incoming.ts';
import { PREKEY_LIFETIME_MS, prekeysDue, SECRET_KEPT_MS } from './sessions/prekey-stock.ts';
import { decodeOwnPrekey, encodeOwnPrekey, makePrekey } from './sessions/prekeys.ts';
import type { OwnPrekey } from './sessions/prekeys.ts';
import { SECRET_KEY_BYTES } from './sessions/x-wing.ts';
import type { NodeStore } from './store/operations.ts';

/** How often each mailbox is asked what is left there, besides when it is connected and when a prekey was used. */
const EVERY_MS = 3600_000;

/** The share of that which is left to chance: those who came back together spread out again. */
const SPREAD = 0.2;

/** After a prekey was used, others may be used in the same breath: a mailbox is emptied in seconds. */
const AFTER_USE_MS = 5_000;

/** One mailbox of ours. */
export interface OwnMailbox {
  peerId: string;
  prekeys: PrekeysClient;
}

export interface PrekeyUpkeepInit {
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  /** Those that are connected. */
  mailboxes: () => OwnMailbox[];
  nowMs: () => number;
  random: () => number;
  sleep: Sleep;
  log: Logger;
  signal: AbortSignal;
}

/** Keeps our prekeys at our mailboxes in stock, and deletes secrets that nobody needs any more. */
export interface PrekeyUpkeep {
  /** Looks after one mailbox; what fails is tried again within the hour. */
  check(mailbox: OwnMailbox): Promise<void>;
  /** A prekey of ours was used, or one that is not here was asked for. */
  used(): void;
  /** Runs until the signal fires. */
  run(): Promise<void>;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function prekeyUpkeep(init: PrekeyUpkeepInit): PrekeyUpkeep {
  const { store, privateKey, nowMs, log, signal } = init;
  const checking = new Map<string, Promise<void>>();
  let soon: Promise<void> | undefined;
  let renewing: Promise<unknown> = Promise.resolve();

  /** The last-resort prekey, a new one when that is due: the same at all mailboxes. */
  const lastResort = async (): Promise<OwnPrekey> => {
    const newest = await store.call('prekeys.last-resort', undefined);
    const now = nowMs();
    const { lastResort: isDue } = prekeysDue({ left: 0, lastResortMadeMs: newest?.madeMs, nowMs: now });
    if (newest !== undefined && !isDue) {
      const prekey = decodeOwnPrekey(newest.state);
      newest.state.fill(0);
      return prekey;
    }
    const secretKey = new Uint8Array(randomBytes(SECRET_KEY_BYTES));
    const expiresMs = now + PREKEY_LIFETIME_MS;
    const { prekey } = await makePrekey(privateKey, { kind: 'last-resort', expiresMs, secretKey });
    const state = encodeOwnPrekey(prekey);
    await store.call('prekeys.add-last-resort', { prekey: { id: prekey.id, state, expiresMs }, nowMs: now });
    state.fill(0);
    return prekey;
  };

  const held = (id: Uint8Array, expiresMs: number, prekey: Uint8Array): HeldPrekey => ({
    id,
    expiresMs,
    prekey,
  });

  const restock = async ({ peerId, prekeys }: OwnMailbox): Promise<void> => {
    const stock = await prekeys.count({ signal });
    const there = stock.lastResortId === null ? stock.oneTimeIds : [...stock.oneTimeIds, stock.lastResortId];
    const ours = await store.call('prekeys.counted', { mailbox: peerId, ids: there });
    // Of those that are not, we have lost the secrets: this store is an old copy, or a mended one.
    const replace = ours < there.length;
    // One after the other: two mailboxes would each be given another one.
    const renewed = renewing.then(lastResort);
    renewing = renewed.catch(() => undefined);
    const newest = await renewed;
    newest.secretKey.fill(0);
    const isThere = !replace && stock.lastResortId !== null && hex(stock.lastResortId) === hex(newest.id);
    const left = replace ? 0 : stock.oneTimeIds.length;
    const { oneTime: count } = prekeysDue({ left, lastResortMadeMs: nowMs(), nowMs: nowMs() });
    if (count === 0 && isThere) return;
    const expiresMs = nowMs() + PREKEY_LIFETIME_MS;
    const made = await newPrekeys(privateKey, { count, expiresMs });
    const stored = made.map((each) => each.stored);
    await store.call('prekeys.add', {
      prekeys: stored,
      to: { mailbox: peerId },
      nowMs: nowMs(),
    });
    for (const { state } of stored) state.fill(0);
    await prekeys.publish(
      {
        oneTime: made.map(({ stored: { id }, bundle }) => held(id, expiresMs, bundle)),
        ...(!isThere && {
          lastResort: held(newest.id, newest.expiresMs, await signPrekey(privateKey, newest)),
        }),
        replace,
      },
      { signal },
    );
    await store.call('prekeys.published', { mailbox: peerId });
    log('left %d prekeys at %s%s', count, peerId, replace ? ', in place of what was there' : '');
  };

  const check = (mailbox: OwnMailbox): Promise<void> => {
    const { peerId } = mailbox;
    // One at a time: two would both see a stock that is low.
    const done = (checking.get(peerId) ?? Promise.resolve())
      .then(() => restock(mailbox))
      .catch((error: unknown) => {
        if (!signal.aborted) log('prekeys at %s were not looked after: %s', peerId, (error as Error).message);
      })
      .finally(() => {
        if (checking.get(peerId) === done) checking.delete(peerId);
      });
    checking.set(peerId, done);
    return done;
  };

  const checkAll = async (): Promise<void> => {
    await Promise.all(init.mailboxes().map(check));
  };

  return {
    check,

    used() {
      soon ??= init
        .sleep(AFTER_USE_MS, { signal })
        .then(checkAll)
        .catch(() => undefined)
        .finally(() => {
          soon = undefined;
        });
    },

    async run() {
      while (!signal.aborted) {
        await init.sleep(EVERY_MS * (1 - SPREAD * init.random()), { signal }).catch(() => undefined);
        if (signal.aborted) return;
        await checkAll();
        // An hour after the start, our mailboxes have been emptied: what is there may need an old secret.
        try {
          await store.call('prekeys.expire', { nowMs: nowMs(), keptMs: SECRET_KEPT_MS });
          await store.call('sessions.expire', { takenBeforeMs: nowMs() - INCOMING_KEPT_MS });
        } catch (error) {
          log('secrets that nobody needs were not deleted: %s', (error as Error).message);
        }
      }
    },
  };
}
