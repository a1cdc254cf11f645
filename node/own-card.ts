import type { Ed25519PrivateKey } from '@libp2p/interface';
import { MAX_MAILBOXES, sealCard } from '../protocols/contact-card/card.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import type { NodeStore } from './store/operations.ts';

/** A card is good for this long, and signed anew when half of it is over. */
const LIFETIME_MS = 90 * 24 * 3600_000;

const META_KEY = 'card-seq';

/** The own contact card: signed when something in it changes, with a `seq` that outlives restarts. */
export interface OwnCard {
  /** The card as it is now, signed. */
  current(): Promise<Uint8Array>;
  /** As `current`, without waiting; empty until the first was signed. */
  readonly latest: Uint8Array;
}

export interface OwnCardInit {
  privateKey: Ed25519PrivateKey;
  store: NodeStore;
  nowMs: () => number;
  /** Best first; a card has room for four. */
  mailboxes: () => MailboxAddress[];
  name: () => string | null;
}

export function ownCard({ privateKey, store, nowMs, mailboxes, name }: OwnCardInit): OwnCard {
  const peerId = privateKey.publicKey.toString();
  let latest: Uint8Array = new Uint8Array(0);
  let content = '';
  let signedMs = -Infinity;
  let signing: Promise<unknown> = Promise.resolve();

  const sign = async (): Promise<void> => {
    const fields = { name: name(), mailboxes: mailboxes().slice(0, MAX_MAILBOXES) };
    const wanted = JSON.stringify(fields);
    // A clock set back far makes it long ago, too: others would take the card for one from the future.
    if (wanted === content && Math.abs(nowMs() - signedMs) < LIFETIME_MS / 2) return;
    const before = await store.call('meta.get', { key: META_KEY });
    // The time, so that a daemon on an old copy of its data does not count from where others have been.
    const seq = Math.max(nowMs(), before === undefined ? 1 : Number(Buffer.from(before).toString()) + 1);
    await store.call('meta.put', { key: META_KEY, value: Buffer.from(String(seq)) });
    const now = nowMs();
    latest = await sealCard(privateKey, {
      peerId,
      ...(fields.name !== null && { name: fields.name }),
      mailboxes: fields.mailboxes,
      seq,
      expiresMs: now + LIFETIME_MS,
    });
    content = wanted;
    signedMs = now;
  };

  return {
    async current() {
      const turn = signing.then(sign);
      signing = turn.catch(() => undefined);
      await turn;
      return latest;
    },
    get latest() {
      return latest;
    },
  };
}
