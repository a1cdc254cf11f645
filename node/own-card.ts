import type { Ed25519PrivateKey } from '@libp2p/interface';
import { sealCard } from '../protocols/contact-card/card.ts';
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
  mailboxes: () => MailboxAddress[];
  name: () => string | null;
}

export function ownCard({ privateKey, store, nowMs, mailboxes, name }: OwnCardInit): OwnCard {
  const peerId = privateKey.publicKey.toString();
  let latest: Uint8Array = new Uint8Array(0);
  let content = '';
  let renewMs = 0;
  let signing: Promise<unknown> = Promise.resolve();

  const sign = async (): Promise<void> => {
    const fields = { name: name(), mailboxes: mailboxes() };
    const wanted = JSON.stringify(fields);
    if (wanted === content && nowMs() < renewMs) return;
    const before = await store.call('meta.get', { key: META_KEY });
    const seq = before === undefined ? 1 : Number(Buffer.from(before).toString()) + 1;
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
    renewMs = now + LIFETIME_MS / 2;
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
