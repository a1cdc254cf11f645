import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { MAILBOX_STREAMS, mailboxHandler } from '../../protocols/mailbox/handler.ts';
import type { Collection, MailboxDecisions } from '../../protocols/mailbox/handler.ts';
import { peerIdFromBytes, peerIdToBytes } from '../../protocols/mailbox/peer-id-bytes.ts';
import { PrekeysRefused_Reason } from '../../protocols/mailbox/prekey-frames.ts';
import type { HeldPrekey, Publication } from '../../protocols/mailbox/prekey-frames.ts';
import type { PrekeyDecisions } from '../../protocols/mailbox/prekeys-handler.ts';
import { End_Reason, MAILBOX_PROTOCOL, Status } from '../../protocols/mailbox/protocol.ts';
import type { Answer, HeldBlob } from '../../protocols/mailbox/protocol.ts';
import { bareNode } from './bare-node.ts';

const HOUR_MS = 3_600_000;

/** A blob as somebody left it. */
export interface Left {
  depositor: string;
  recipient: string;
  blob: Uint8Array;
}

/** A blob as it is handed out: the depositor is whom the mailbox says it was. */
export type Handed = Pick<Left, 'depositor' | 'blob'>;

/** What an owner has published. */
export interface PrekeyStock {
  /** The next one to be handed out first. */
  oneTime: HeldPrekey[];
  lastResort: HeldPrekey | undefined;
}

/**
 * - `keep`: as an honest mailbox
 * - `hold`: says that it is stored, and hands out nothing but what the test tells it to
 * - `claim`: says that it has had the blob before, and keeps nothing
 * - `refuse`: says that the recipient's mailbox is full
 * - `silent`: never answers
 */
export type DepositLie = 'keep' | 'hold' | 'claim' | 'refuse' | 'silent';

/** A bootstrap node of the attacker's: a mailbox that does what the test tells it to, and nothing else. */
export interface LyingMailbox extends AsyncDisposable {
  peerId: string;
  /** To hand to daemons. */
  multiaddr: string;
  /** The operator's own identity. */
  privateKey: Ed25519PrivateKey;
  /** What becomes of deposits from now on. */
  deposits: DepositLie;
  /** All that was ever left here, also what is answered for and not kept. */
  readonly left: readonly Left[];
  /** Hands blobs out, in this order, as soon as their recipient comes for them. */
  hand(recipient: string, blobs: readonly Handed[]): void;
  /** How many blobs the recipient has not acknowledged. */
  untaken(recipient: string): number;
  /** By owner. */
  readonly stocks: ReadonlyMap<string, PrekeyStock>;
  /** How often each owner has published prekeys. */
  readonly publications: ReadonlyMap<string, number>;
  /** What somebody is given who asks for a prekey; undefined for none. Unless set, what its owner published. */
  onTake: ((recipient: string, taker: string) => HeldPrekey | undefined) | undefined;
  /** What an owner is told is held of its one-time prekeys. Unless set, what is. */
  onCount: ((owner: string) => Uint8Array[]) | undefined;
}

/** What each is answered with. */
const STATUSES: Record<Exclude<DepositLie, 'silent'>, Status> = {
  keep: Status.STORED,
  hold: Status.STORED,
  claim: Status.ALREADY_THERE,
  refuse: Status.FULL,
};

/** Answers that can't be put off any longer end with the stream. */
const never = <T>(): Promise<T> => new Promise(() => undefined);

/** What waits for one recipient: in memory, and without a window, as tests leave little. */
function outbox() {
  let waiting: HeldBlob[] = [];
  let current: { wake: () => void; end: (reason?: End_Reason) => void } | undefined;
  return {
    get size() {
      return waiting.length;
    },
    add(blobs: readonly HeldBlob[]): void {
      waiting.push(...blobs);
      current?.wake();
    },
    collect(): Collection {
      current?.end(End_Reason.REPLACED);
      let sent = 0;
      let endReason: End_Reason | undefined;
      let ended = false;
      let wake: (() => void) | undefined;
      const self = {
        wake: () => wake?.(),
        end(reason?: End_Reason) {
          if (ended) return;
          ended = true;
          endReason = reason;
          wake?.();
          if (current === self) current = undefined;
        },
      };
      current = self;
      return {
        async *batches() {
          while (!ended) {
            const batch = waiting.slice(sent);
            sent = waiting.length;
            if (batch.length > 0) yield batch;
            else await new Promise<void>((resolve) => (wake = resolve));
          }
        },
        acknowledge(count) {
          waiting = waiting.slice(count);
          sent -= count;
        },
        end: () => self.end(),
        get endReason() {
          return endReason;
        },
      };
    },
  };
}

export async function lyingMailbox({ signal }: { signal: AbortSignal }): Promise<LyingMailbox> {
  const { node, privateKey } = await bareNode();
  const left: Left[] = [];
  const outboxes = new Map<string, ReturnType<typeof outbox>>();
  const stocks = new Map<string, PrekeyStock>();
  const publications = new Map<string, number>();

  const outboxOf = (peer: string): ReturnType<typeof outbox> => {
    const known = outboxes.get(peer) ?? outbox();
    outboxes.set(peer, known);
    return known;
  };
  const stockOf = (peer: string): PrekeyStock => stocks.get(peer) ?? { oneTime: [], lastResort: undefined };

  const self: LyingMailbox = {
    peerId: node.peerId.toString(),
    multiaddr: node.getMultiaddrs()[0]!.toString(),
    privateKey,
    deposits: 'keep',
    left,
    hand(recipient, blobs) {
      const depositedAtMs = Date.now();
      const held = blobs.map(({ depositor, blob }) => ({
        depositor: peerIdToBytes(peerIdFromString(depositor)),
        depositedAtMs,
        blob,
      }));
      outboxOf(recipient).add(held);
    },
    untaken: (recipient) => outboxOf(recipient).size,
    stocks,
    publications,
    onTake: undefined,
    onCount: undefined,
    async [Symbol.asyncDispose]() {
      await node.stop();
    },
  };

  const decisions: MailboxDecisions = {
    deposit(depositor, deposits) {
      const lie = self.deposits;
      if (lie === 'silent') return never();
      const answer: Answer = {
        status: STATUSES[lie],
        keptUntilMs: Date.now() + HOUR_MS,
        retryAfterMs: 0,
        detail: '',
      };
      for (const { recipient: bytes, blob } of deposits) {
        const recipient = peerIdFromBytes(bytes)!.toString();
        // Copies: what came in is a view of a network chunk.
        const one: Left = { depositor: depositor.toString(), recipient, blob: new Uint8Array(blob) };
        left.push(one);
        if (lie === 'keep') self.hand(recipient, [one]);
      }
      return Promise.resolve(deposits.map(() => answer));
    },
    collect: (recipient) => outboxOf(recipient.toString()).collect(),
  };

  const copyOf = ({ id, expiresMs, prekey }: HeldPrekey): HeldPrekey => ({
    id: new Uint8Array(id),
    expiresMs,
    prekey: new Uint8Array(prekey),
  });
  const prekeys: PrekeyDecisions = {
    async publish(owner, { oneTime, lastResort, replace }: Publication) {
      const peer = owner.toString();
      const before = stockOf(peer);
      const stock: PrekeyStock = {
        oneTime: [...(replace ? [] : before.oneTime), ...oneTime.map(copyOf)],
        lastResort: lastResort === undefined ? (replace ? undefined : before.lastResort) : copyOf(lastResort),
      };
      stocks.set(peer, stock);
      publications.set(peer, (publications.get(peer) ?? 0) + 1);
      return { type: 'prekeys-published', left: stock.oneTime.length };
    },
    async take(taker, bytes) {
      const recipient = peerIdFromBytes(bytes)!.toString();
      const stock = stockOf(recipient);
      const honest = (): HeldPrekey | undefined => stock.oneTime.shift() ?? stock.lastResort;
      const prekey = self.onTake === undefined ? honest() : self.onTake(recipient, taker.toString());
      if (prekey === undefined) {
        return { type: 'prekeys-refused', reason: PrekeysRefused_Reason.NONE, retryAfterMs: 0, detail: '' };
      }
      return { type: 'prekey-taken', prekey, lastResort: prekey === stock.lastResort };
    },
    async count(owner) {
      const { oneTime, lastResort } = stockOf(owner.toString());
      const oneTimeIds = self.onCount?.(owner.toString()) ?? oneTime.map(({ id }) => id);
      return { type: 'prekeys-counted', oneTimeIds, lastResortId: lastResort?.id };
    },
  };
  await node.handle(MAILBOX_PROTOCOL, mailboxHandler(decisions, { signal, prekeys }), MAILBOX_STREAMS);
  return self;
}
