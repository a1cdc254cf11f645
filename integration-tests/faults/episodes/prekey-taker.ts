import { randomBytes } from 'node:crypto';
import { peerIdFromString } from '@libp2p/peer-id';
import { COINS_BYTES } from '../../../node/sessions/hpke.ts';
import { seal, startSession } from '../../../node/sessions/outgoing.ts';
import { encodeBundle } from '../../../protocols/chat/protocol.ts';
import { depositor } from '../../../protocols/mailbox/client.ts';
import { peerIdToBytes } from '../../../protocols/mailbox/peer-id-bytes.ts';
import { openPrekey } from '../../../protocols/mailbox/prekey.ts';
import { prekeysClient } from '../../../protocols/mailbox/prekeys-client.ts';
import type { TakenPrekey } from '../../../protocols/mailbox/prekeys-client.ts';
import { MAILBOX_PROTOCOL } from '../../../protocols/mailbox/protocol.ts';
import { NONCE_BYTES } from '../../../protocols/mailbox/sealed.ts';
import { stranger } from '../../harness/stranger.ts';
import type { StrangerInit } from '../../harness/stranger.ts';
import type { Stage } from './kind.ts';

const HOUR_MS = 3_600_000;

/** Somebody nobody knows, who takes somebody's prekeys out of a mailbox and leaves sealed blobs there that say nothing. */
export interface PrekeyTaker extends AsyncDisposable {
  /** @throws MailboxError, and what the network throws */
  take(): Promise<TakenPrekey>;
  /** Opens a session to a prekey, and seals in it. */
  seal(prekey: TakenPrekey): Promise<Uint8Array>;
  /** @throws MailboxError, and what the network throws */
  leave(blob: Uint8Array): Promise<void>;
}

/** Where a mailbox can be reached from this process; undefined where it can't: nobody from outside gets into a lab. */
export function mailboxOf({ bootstrap, lab }: Pick<Stage, 'bootstrap' | 'lab'>): string | undefined {
  return lab === undefined ? bootstrap.multiaddr : undefined;
}

/** @param init.owner whose prekeys, as a peer id */
export async function prekeyTaker({
  owner,
  mailbox,
  ...init
}: StrangerInit & { owner: string; mailbox: string }): Promise<PrekeyTaker> {
  const { signal } = init;
  const self = await stranger({ ...init, polite: false });
  const recipient = peerIdFromString(owner);
  const stop = new AbortController();
  const openStream = () => self.open(mailbox, MAILBOX_PROTOCOL);
  const prekeys = prekeysClient({ openStream });
  const deposits = depositor({ openStream, signal: AbortSignal.any([signal, stop.signal]) });
  return {
    take: () => prekeys.take(recipient, { signal }),

    async seal({ prekey }) {
      const nowMs = Date.now();
      const session = await startSession(self.privateKey, {
        recipient: peerIdToBytes(recipient),
        prekey: await openPrekey(prekey, { owner: recipient, nowMs }),
        nowMs,
        coins: randomBytes(COINS_BYTES),
      });
      return seal(session, encodeBundle([]), { nonce: randomBytes(NONCE_BYTES) }).blob;
    },

    async leave(blob) {
      await deposits.deposit({ recipient, blob, expiresMs: Date.now() + HOUR_MS });
    },

    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the taker goes'));
      await self[Symbol.asyncDispose]();
    },
  };
}
