import { InvalidMessageError } from '@libp2p/interface';
import type { Connection, Ed25519PrivateKey, Logger, PeerId, Stream } from '@libp2p/interface';
import { encodeBundle, decodeBundle } from '../protocols/chat/protocol.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { depositor } from '../protocols/mailbox/client.ts';
import type { Depositor } from '../protocols/mailbox/client.ts';
import type { Blob } from '../protocols/mailbox/collect.ts';
import { encodeUnsealed, EnvelopeError, openEnvelope } from '../protocols/mailbox/envelope.ts';
import { MailboxError } from '../protocols/mailbox/errors.ts';
import type { MailboxErrorCode } from '../protocols/mailbox/errors.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import type { Host } from './host.ts';
import { addressesOfPeer } from './peer-addresses.ts';
import { parsePeerId, peerIdOf } from './peer-ids.ts';

/** How long a mailbox is asked to keep a blob: as long as it keeps any. */
const KEEP_MS = 21 * 24 * 3600_000;

/** Mailboxes this daemon has a depositing stream for at the most; the one unused longest is let go. */
const MAX_DEPOSITORS = 32;

/** Dialling a mailbox and getting an answer. */
const DEPOSIT_TIMEOUT_MS = 15_000;

/** A mailbox that has not answered after this long is asked for a sign of life: longer than any honest commit takes. */
const SUSPECT_AFTER_MS = 3_000;

export interface MailboxesInit {
  host: Pick<Host, 'dial' | 'getConnections'>;
  privateKey: Ed25519PrivateKey;
  allowUnsealed: boolean;
  nowMs: () => number;
  log: Logger;
  signal: AbortSignal;
  /** Where messages for a peer can be left, best first. */
  mailboxesOf: (peer: string, options: { signal: AbortSignal }) => Promise<MailboxAddress[]>;
  /** Asks a mailbox's node for a sign of life, and drops the connections that give none. */
  verify: (node: string, options: { signal: AbortSignal }) => Promise<boolean>;
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

interface OpenDepositor {
  depositor: Depositor;
  multiaddrs: readonly string[];
  stop: AbortController;
}

export function mailboxes(init: MailboxesInit): Mailboxes {
  const { host, privateKey, nowMs, log } = init;
  const depositors = new Map<string, OpenDepositor>();
  const self = privateKey.publicKey.toString();

  /** Makes room for one more: the one unused longest goes, if it can be one that waits for nothing. */
  const evict = (): void => {
    if (depositors.size < MAX_DEPOSITORS) return;
    const [oldest] = depositors;
    const [peerId, { stop }] =
      Array.from(depositors).find(([, { depositor }]) => depositor.waiting === 0) ?? oldest!;
    depositors.delete(peerId);
    stop.abort(new Error('too many other mailboxes were in use'));
  };

  const depositorTo = ({ peerId, multiaddrs }: MailboxAddress): Depositor => {
    const known = depositors.get(peerId);
    if (known !== undefined) {
      depositors.delete(peerId);
      depositors.set(peerId, known);
      // A newer card may say that it has moved.
      known.multiaddrs = multiaddrs;
      return known.depositor;
    }
    evict();
    const stop = new AbortController();
    const openStream = async ({ signal }: { signal: AbortSignal }): Promise<Stream> => {
      const mailbox = peerIdOf(peerId);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(DEPOSIT_TIMEOUT_MS)]);
      const connection = host.getConnections(mailbox)[0] ?? (await dial(mailbox, created.multiaddrs, limit));
      return connection.newStream(MAILBOX_PROTOCOL, { signal: limit });
    };
    const created: OpenDepositor = {
      multiaddrs,
      stop,
      depositor: depositor({ openStream, signal: AbortSignal.any([init.signal, stop.signal]) }),
    };
    depositors.set(peerId, created);
    return created.depositor;
  };

  const dial = (mailbox: PeerId, multiaddrs: readonly string[], signal: AbortSignal): Promise<Connection> => {
    const peerId = mailbox.toString();
    const addresses = addressesOfPeer(multiaddrs, peerId);
    return host.dial(
      addresses.length === 0 ? mailbox : addresses.map((address) => address.encapsulate(`/p2p/${peerId}`)),
      { signal },
    );
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
      const deposits = addresses.map(async (address) => {
        const suspicion = setTimeout(() => void init.verify(address.peerId, { signal }), SUSPECT_AFTER_MS);
        try {
          return await depositorTo(address).deposit({ recipient, blob, expiresMs: now + KEEP_MS });
        } finally {
          clearTimeout(suspicion);
        }
      });
      try {
        // The others go on: a mailbox that is down must not hold up the one that is not.
        await Promise.any(deposits);
      } catch (error) {
        throw whyNone((error as AggregateError).errors as Error[]);
      }
    },

    async open({ blob, depositor: from }) {
      try {
        const { sender, bundle } = await openEnvelope(blob, { recipient: peerIdOf(self) });
        if (parsePeerId(sender.toString()) === undefined)
          throw new EnvelopeError('sender: not the peer id of an Ed25519 key', 'malformed');
        return { sender: sender.toString(), frames: decodeBundle(bundle) };
      } catch (error) {
        // Anything else is a fault of ours: then it stays in the mailbox.
        if (!(error instanceof EnvelopeError || error instanceof InvalidMessageError)) throw error;
        log('passed over a blob that %p left: %s', from, error.message);
        return undefined;
      }
    },
  };
}

/** What a person can do most about comes first. */
const USEFULNESS: readonly MailboxErrorCode[] = [
  'expired',
  'too-large',
  'full',
  'sender-full',
  'rate-limited',
  'busy',
  'unavailable',
];

/** Why none of several mailboxes took something: what they answered, before what the network did. */
function whyNone(errors: readonly Error[]): Error {
  const rank = (error: Error): number => {
    if (!(error instanceof MailboxError)) return USEFULNESS.length + 1;
    const at = USEFULNESS.indexOf(error.code);
    return at === -1 ? USEFULNESS.length : at;
  };
  const ranked = errors.toSorted((a, b) => rank(a) - rank(b));
  const reasons = ranked.map((error) =>
    error instanceof MailboxError && error.code === 'expired'
      ? `${error.message}: check the clock of this computer`
      : error.message,
  );
  return new Error([...new Set(reasons)].join('; '), { cause: ranked[0] });
}
