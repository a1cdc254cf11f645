import type { Ed25519PrivateKey, Logger, Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { encodeBundle, decodeBundle } from '../protocols/chat/protocol.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { depositor } from '../protocols/mailbox/client.ts';
import type { Depositor } from '../protocols/mailbox/client.ts';
import type { Blob } from '../protocols/mailbox/collect.ts';
import { encodeUnsealed, openEnvelope } from '../protocols/mailbox/envelope.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import type { Host } from './host.ts';
import { peerIdOf } from './peer-ids.ts';

/** How long a mailbox is asked to keep a blob: as long as it keeps any. */
const KEEP_MS = 21 * 24 * 3600_000;

/** Mailboxes this daemon has a depositing stream for at the most; the one unused longest is let go. */
const MAX_DEPOSITORS = 32;

/** Dialling a mailbox and getting an answer. */
const DEPOSIT_TIMEOUT_MS = 15_000;

export interface MailboxesInit {
  host: Host;
  privateKey: Ed25519PrivateKey;
  allowUnsealed: boolean;
  nowMs: () => number;
  log: Logger;
  signal: AbortSignal;
  /** Where messages for a peer can be left, best first. */
  mailboxesOf: (peer: string, options: { signal: AbortSignal }) => Promise<MailboxAddress[]>;
}

/** The mailboxes of others, where we leave things, and what is in the envelopes out of our own. */
export interface Mailboxes {
  /**
   * Leaves frames in all mailboxes of a peer; resolves when one of them has committed them.
   *
   * @throws Error that says why none did
   */
  deposit(peer: string, frames: Uint8Array[], options: { signal: AbortSignal }): Promise<void>;
  /** Opens what came out of our mailbox. Undefined for what can never be opened: it is passed over and logged. */
  open(blob: Blob): Promise<{ sender: string; frames: Uint8Array[] } | undefined>;
}

export function mailboxes(init: MailboxesInit): Mailboxes {
  const { host, privateKey, nowMs, log } = init;
  const depositors = new Map<string, { depositor: Depositor; stop: AbortController }>();
  const self = privateKey.publicKey.toString();

  const depositorTo = ({ peerId, multiaddrs }: MailboxAddress): Depositor => {
    const known = depositors.get(peerId);
    if (known !== undefined) {
      depositors.delete(peerId);
      depositors.set(peerId, known);
      return known.depositor;
    }
    const [oldest] = depositors;
    if (oldest !== undefined && depositors.size >= MAX_DEPOSITORS) {
      depositors.delete(oldest[0]);
      oldest[1].stop.abort();
    }
    const stop = new AbortController();
    const openStream = async ({ signal }: { signal: AbortSignal }): Promise<Stream> => {
      const mailbox = peerIdOf(peerId);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(DEPOSIT_TIMEOUT_MS)]);
      const connection =
        host.getConnections(mailbox)[0] ??
        (await host.dial(
          multiaddrs.map((address) => multiaddr(address).encapsulate(`/p2p/${peerId}`)),
          { signal: limit },
        ));
      return connection.newStream(MAILBOX_PROTOCOL, { signal: limit });
    };
    const created = depositor({ openStream, signal: AbortSignal.any([init.signal, stop.signal]) });
    depositors.set(peerId, { depositor: created, stop });
    return created;
  };

  return {
    async deposit(peer, frames, { signal }) {
      if (!init.allowUnsealed) {
        throw new Error(
          'it would wait there unencrypted, which this daemon was not started to allow (--allow-unsealed)',
        );
      }
      const addresses = await init.mailboxesOf(peer, { signal });
      if (addresses.length === 0) throw new Error('no mailbox of theirs is known');
      const recipient = peerIdOf(peer);
      const now = nowMs();
      const blob = await encodeUnsealed(privateKey, { recipient, bundle: encodeBundle(frames), nowMs: now });
      const outcomes = await Promise.allSettled(
        addresses.map((address) =>
          depositorTo(address).deposit({ recipient, blob, expiresMs: now + KEEP_MS }),
        ),
      );
      if (outcomes.some(({ status }) => status === 'fulfilled')) return;
      throw (outcomes[0] as PromiseRejectedResult).reason;
    },

    async open({ blob, depositor: from }) {
      try {
        const { sender, bundle } = await openEnvelope(blob, { recipient: peerIdOf(self) });
        return { sender: sender.toString(), frames: decodeBundle(bundle) };
      } catch (error) {
        log('passed over a blob that %p left: %s', from, (error as Error).message);
        return undefined;
      }
    },
  };
}
