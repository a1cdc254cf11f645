import { randomBytes } from 'node:crypto';
import type { Ed25519PrivateKey, Logger } from '@libp2p/interface';
import type { ChatDecisions } from '../protocols/chat/decisions.ts';
import { encodePrekeys, encodePrekeysWanted } from '../protocols/chat/protocol.ts';
import { openPrekey, PrekeyError } from '../protocols/mailbox/prekey.ts';
import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import { peerIdOf } from './peer-ids.ts';
import { PREKEY_LIFETIME_MS } from './sessions/prekey-stock.ts';
import { encodeOwnPrekey, makePrekey } from './sessions/prekeys.ts';
import { SECRET_KEY_BYTES } from './sessions/x-wing.ts';
import type { NodeStore } from './store/operations.ts';
import type { ReceivedPrekey, StoredPrekey } from './store/prekeys.ts';

/** Prekeys handed over when asked: one to use, and one for after it. */
const HANDED = 2;

/** How often one peer is handed some. It asks when it has used up what it had: once a day, unless connections break. */
const HANDING_RATE = { burst: 6, perSecond: 1 / 600 };

/** Prekeys that a peer was handed and has not used, at the most. Each is a secret that is kept. */
const MAX_OUTSTANDING = 16;

export interface PrekeyExchangeInit {
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  /** With whom prekeys are exchanged. */
  isContact: (peer: string) => boolean;
  nowMs: () => number;
  log: Logger;
}

/** Prekeys that contacts hand each other while both are there: no mailbox has seen them, and none can run out of them. */
export interface PrekeyExchange extends Pick<ChatDecisions, 'prekeysWanted' | 'prekeys'> {
  /** What to say to a peer that is here: that we want prekeys, when none of its is left. */
  ask(peer: string): Promise<Uint8Array[]>;
}

/** New one-time prekeys, and the bytes to hand out for them once the secrets are committed. */
export async function newPrekeys(
  privateKey: Ed25519PrivateKey,
  { count, expiresMs }: { count: number; expiresMs: number },
): Promise<{ stored: StoredPrekey; bundle: Uint8Array }[]> {
  const made: { stored: StoredPrekey; bundle: Uint8Array }[] = [];
  for (let left = count; left > 0; left--) {
    const secretKey = new Uint8Array(randomBytes(SECRET_KEY_BYTES));
    const { prekey, bundle } = await makePrekey(privateKey, { kind: 'one-time', expiresMs, secretKey });
    made.push({ stored: { id: prekey.id, state: encodeOwnPrekey(prekey), expiresMs }, bundle });
    secretKey.fill(0);
  }
  return made;
}

export function prekeyExchange({
  store,
  privateKey,
  isContact,
  nowMs,
  log,
}: PrekeyExchangeInit): PrekeyExchange {
  const handing = keyedRate(HANDING_RATE);

  return {
    async ask(peer) {
      if (!isContact(peer)) return [];
      const held = await store.call('prekeys.newest-received', { peer, nowMs: nowMs() });
      return held === undefined ? [encodePrekeysWanted()] : [];
    },

    async prekeysWanted(peer) {
      if (!isContact(peer)) return [];
      const outstanding = await store.call('prekeys.handed', { peer });
      if (outstanding + HANDED > MAX_OUTSTANDING || handing.take(peer, 1, nowMs()).granted === 0) return [];
      const made = await newPrekeys(privateKey, { count: HANDED, expiresMs: nowMs() + PREKEY_LIFETIME_MS });
      const prekeys = made.map(({ stored }) => stored);
      await store.call('prekeys.add', { prekeys, to: { peer }, nowMs: nowMs() });
      for (const { state } of prekeys) state.fill(0);
      return [encodePrekeys(made.map(({ bundle }) => bundle))];
    },

    async prekeys(peer, bundles) {
      if (!isContact(peer)) return;
      const prekeys: ReceivedPrekey[] = [];
      for (const bundle of bundles) {
        try {
          const { id, expiresMs, kind } = await openPrekey(bundle, { owner: peerIdOf(peer), nowMs: nowMs() });
          if (kind === 'one-time') prekeys.push({ id, prekey: bundle, expiresMs });
        } catch (error) {
          if (!(error instanceof PrekeyError)) throw error;
          log('passed over a prekey from %s: %s', peer, error.message);
        }
      }
      if (prekeys.length > 0) await store.call('prekeys.received', { peer, prekeys, nowMs: nowMs() });
    },
  };
}
