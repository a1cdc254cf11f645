import type { Connection, Ed25519PrivateKey, Logger, PeerId, Stream } from '@libp2p/interface';
import { encodeBundle } from '../protocols/chat/protocol.ts';
import type { MailboxAddress } from '../protocols/contact-card/card.ts';
import { depositor } from '../protocols/mailbox/client.ts';
import type { Depositor } from '../protocols/mailbox/client.ts';
import { MailboxError } from '../protocols/mailbox/errors.ts';
import type { MailboxErrorCode } from '../protocols/mailbox/errors.ts';
import { openPrekey } from '../protocols/mailbox/prekey.ts';
import type { Prekey } from '../protocols/mailbox/prekey.ts';
import { prekeysClient } from '../protocols/mailbox/prekeys-client.ts';
import { MAILBOX_PROTOCOL } from '../protocols/mailbox/protocol.ts';
import type { Host } from './host.ts';
import { inTurn } from './in-turn.ts';
import { outgoingSessions } from './outgoing-sessions.ts';
import type { OutgoingSessions, SealedContent } from './outgoing-sessions.ts';
import { addressesOfPeer } from './peer-addresses.ts';
import { peerIdOf } from './peer-ids.ts';
import type { NodeStore } from './store/operations.ts';

/** How long a mailbox is asked to keep a blob: as long as it keeps any. */
const KEEP_MS = 21 * 24 * 3600_000;

/** Mailboxes this daemon has a depositing stream for at the most; the one unused longest is let go. */
const MAX_DEPOSITORS = 32;

/** Dialling a mailbox and getting an answer. */
const DEPOSIT_TIMEOUT_MS = 15_000;

/** Peers for whom a blob that no mailbox took is kept in memory: some 130 KB each, 520 at the most. */
const MAX_REFUSED = 64;

/** Dialling a mailbox and being given a prekey: the next one is asked then. */
const TAKE_TIMEOUT_MS = 5_000;

/** A mailbox that has not answered after this long is asked for a sign of life: longer than any honest commit takes. */
const SUSPECT_AFTER_MS = 3_000;

export interface MailboxesInit {
  host: Pick<Host, 'dial' | 'getConnections'>;
  store: NodeStore;
  privateKey: Ed25519PrivateKey;
  nowMs: () => number;
  log: Logger;
  signal: AbortSignal;
  /** What a peer has signed for us, to be shown to its mailboxes. Default: nothing, so that we are strangers there. */
  capabilityFrom?: (peer: string) => Uint8Array | undefined;
  /** Where messages for a peer can be left, best first. */
  mailboxesOf: (peer: string, options: { signal: AbortSignal }) => Promise<MailboxAddress[]>;
  /** Asks a mailbox's node for a sign of life, and drops the connections that give none. */
  verify: (node: string, options: { signal: AbortSignal }) => Promise<boolean>;
}

/** The mailboxes of others, where we leave things. */
export interface Mailboxes {
  /**
   * Seals frames and leaves them in all mailboxes of a peer; resolves when one of them has committed them.
   *
   * @param options.anew seals in a new session if possible: the peer may not have the present one
   * @throws Error that says why none did
   */
  deposit(
    peer: string,
    frames: Uint8Array[],
    options: { signal: AbortSignal; anew?: boolean },
  ): Promise<void>;
  /** What it is sealed in. */
  readonly sessions: OutgoingSessions;
}

interface OpenDepositor extends MailboxAddress {
  depositor: Depositor;
  stop: AbortController;
}

export function mailboxes(init: MailboxesInit): Mailboxes {
  const { host, nowMs, log } = init;
  const depositors = new Map<string, OpenDepositor>();
  /** One take of a prekey at a time: a mailbox serves few streams of a connection, and deposits want theirs. */
  const mailboxInTurn = inTurn();
  /** What was sealed last for a peer, until a mailbox has taken it. */
  const refused = new Map<string, SealedContent & { content: Uint8Array }>();

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
    const openStream = ({ signal }: { signal: AbortSignal }): Promise<Stream> =>
      streamTo(created, AbortSignal.any([signal, AbortSignal.timeout(DEPOSIT_TIMEOUT_MS)]));
    const created: OpenDepositor = {
      peerId,
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

  const streamTo = async ({ peerId, multiaddrs }: MailboxAddress, signal: AbortSignal): Promise<Stream> => {
    const mailbox = peerIdOf(peerId);
    const connection = host.getConnections(mailbox)[0] ?? (await dial(mailbox, multiaddrs, signal));
    return connection.newStream(MAILBOX_PROTOCOL, { signal });
  };

  /** One prekey of a peer, from the first of its mailboxes that has one. */
  const takePrekey = async (peer: string, { signal }: { signal: AbortSignal }): Promise<Prekey> => {
    const owner = peerIdOf(peer);
    const errors: Error[] = [];
    for (const address of await init.mailboxesOf(peer, { signal })) {
      try {
        const { prekey } = await mailboxInTurn(address.peerId, () => {
          const limit = AbortSignal.any([init.signal, signal, AbortSignal.timeout(TAKE_TIMEOUT_MS)]);
          return prekeysClient({ openStream: () => streamTo(address, limit) }).take(owner, { signal: limit });
        });
        return await openPrekey(prekey, { owner, nowMs: nowMs() });
      } catch (error) {
        signal.throwIfAborted();
        log('%s has no prekey of %s for us: %s', address.peerId, peer, (error as Error).message);
        errors.push(error as Error);
      }
    }
    if (errors.length > 0 && errors.every(isNoPrekey)) throw noPrekey();
    throw whyNone(errors);
  };

  const sessions = outgoingSessions({ ...init, takePrekey });

  /** The same content that no mailbox took is the same blob: trying again uses up no keys. */
  const sealedFor = async (
    peer: string,
    content: Uint8Array,
    { signal, anew }: { signal: AbortSignal; anew: boolean },
  ): Promise<SealedContent> => {
    const before = refused.get(peer);
    if (before !== undefined && !before.isLost() && Buffer.compare(before.content, content) === 0)
      return before;
    const sealed = await sessions.seal(peer, content, { signal, anew });
    refused.delete(peer);
    if (refused.size >= MAX_REFUSED) refused.delete(refused.keys().next().value!);
    refused.set(peer, { ...sealed, content });
    return sealed;
  };

  return {
    sessions,

    async deposit(peer, frames, { signal, anew = false }) {
      const addresses = await init.mailboxesOf(peer, { signal });
      if (addresses.length === 0) throw new Error('no mailbox of theirs is known');
      const recipient = peerIdOf(peer);
      const capability = init.capabilityFrom?.(peer);
      const now = nowMs();
      const { blob, isLost } = await sealedFor(peer, encodeBundle(frames), { signal, anew });
      const deposits = addresses.map(async (address) => {
        const suspicion = setTimeout(() => void init.verify(address.peerId, { signal }), SUSPECT_AFTER_MS);
        try {
          return await depositorTo(address).deposit({
            recipient,
            blob,
            expiresMs: now + KEEP_MS,
            ...(capability === undefined ? undefined : { capability }),
          });
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
      refused.delete(peer);
      if (isLost()) throw new Error('they have lost the session that it was sealed in');
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
  const reasons = ranked.map((error) => {
    if (!(error instanceof MailboxError)) return error.message;
    if (error.code === 'expired') return `${error.message}: check the clock of this computer`;
    // Whether somebody is blocked is not for their computer to say.
    return error.code === 'refused' ? 'their mailbox does not take it now' : error.message;
  });
  return new Error([...new Set(reasons)].join('; '), { cause: ranked[0] });
}

const isNoPrekey = (error: Error): boolean =>
  error instanceof MailboxError && (error.code === 'no-prekey' || error.code === 'unsupported');

/** Nothing can be sealed for somebody who has never been there. */
function noPrekey(): MailboxError {
  return new MailboxError('their mailbox has no prekey of theirs yet: it will be tried again', 'no-prekey');
}
