import { hash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { InvalidMessageError } from '@libp2p/interface';
import type { StoreClient } from '../protocols/group-commit/client.ts';
import type { StoreError } from '../protocols/group-commit/operations.ts';
import type { Collection, MailboxDecisions } from '../protocols/mailbox/handler.ts';
import { isPeerIdBytes, peerIdToBytes } from '../protocols/mailbox/peer-id-bytes.ts';
import { BLOB_ID_BYTES, End_Reason, Status } from '../protocols/mailbox/protocol.ts';
import type { Answer, Deposit } from '../protocols/mailbox/protocol.ts';
import type { GroupOf } from './peer-groups.ts';
import { keyedRate } from '../protocols/transport/keyed-rate.ts';
import { sharedRate } from './peer-rate.ts';
import { byteRoom } from './byte-room.ts';
import { clockWatch } from './clock-watch.ts';
import { keyOf, packDeposits } from './mailbox-batch.ts';
import type { PassedDeposit } from './mailbox-batch.ts';
import { capabilityChecks } from './mailbox-capabilities.ts';
import type { CapabilityCounts } from './mailbox-capabilities.ts';
import { openCollection } from './mailbox-collection.ts';
import type { OpenCollection } from './mailbox-collection.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import { DEPOSIT_FIELDS, DepositOutcome, NO_CAPABILITY } from './mailbox-table.ts';
import type { MailboxOperations } from './mailbox-table.ts';

/** What a depositor waits before it tries a mailbox whose disk failed again. */
const UNAVAILABLE_RETRY_MS = 10_000;

/** What a deposit's outcome is called on the wire. */
const OUTCOME_STATUS: Record<number, Status> = {
  [DepositOutcome.STORED]: Status.STORED,
  [DepositOutcome.ALREADY_THERE]: Status.ALREADY_THERE,
  [DepositOutcome.FULL]: Status.FULL,
  [DepositOutcome.SENDER_FULL]: Status.SENDER_FULL,
  [DepositOutcome.STORE_FULL]: Status.FULL,
  [DepositOutcome.STRANGERS_FULL]: Status.FULL,
  [DepositOutcome.STRANGER_FULL]: Status.SENDER_FULL,
  [DepositOutcome.REFUSED]: Status.REFUSED,
};

type StatusCounts = Record<Lowercase<Exclude<keyof typeof Status, 'UNSPECIFIED'>>, number>;

export interface MailboxInit {
  store: Pick<StoreClient<MailboxOperations>, 'call'>;
  limits: MailboxLimits;
  /** Left out, only peers have limits, not addresses. */
  groupOf?: GroupOf;
  /** The clock, milliseconds since 1970. */
  nowMs: () => number;
  /** Told when the store fails; the peers are told `unavailable`. */
  onStoreError: (error: Error) => void;
}

/** Since the start, except `collecting`. */
export interface MailboxCounts {
  /** Deposits by what became of them. */
  deposits: StatusCounts;
  /** Those of them that came without a valid capability and got as far as the store. */
  ofStrangers: StatusCounts;
  capabilities: CapabilityCounts;
  /** Blobs sent to their recipients, and those of them that the recipients have committed. */
  sent: number;
  acknowledged: number;
  /** Blobs that nobody came for in time. */
  expired: number;
  /** Open collect streams. */
  collecting: number;
}

export interface Mailbox extends MailboxDecisions {
  counts(): MailboxCounts;
  /** Begins to sweep what is expired. */
  start(): void;
  stop(): Promise<void>;
}

/**
 * The decisions of a mailbox: who may leave what for whom, and who gets it.
 *
 * @example
 * ```ts
 * const mail = mailbox({ store, limits: mailboxLimits(config), nowMs: Date.now, onStoreError })
 * await libp2p.handle(MAILBOX_PROTOCOL, mailboxHandler(mail, { signal }), MAILBOX_STREAMS)
 * mail.start()
 * ```
 */
export function mailbox({
  store,
  limits,
  nowMs,
  groupOf = () => undefined,
  onStoreError,
}: MailboxInit): Mailbox {
  const rate = sharedRate(limits.depositsPerMinute, limits.depositsPerAddress, groupOf);
  const byteRate = keyedRate(limits.depositBytesPerAddress);
  const collectRate = sharedRate(limits.collectsPerMinute, limits.collectsPerAddress, groupOf);
  const sending = byteRoom(limits.sending);
  const underCommit = byteRoom(limits.underCommit);
  /** By the recipient's key. */
  const collections = new Map<string, OpenCollection>();
  const capabilities = capabilityChecks();
  const byStatus = new Map<Status, number>();
  const ofStrangers = new Map<Status, number>();
  const totals = { sent: 0, acknowledged: 0, expired: 0 };
  let stopping = new AbortController();
  let sweeping: Promise<void> | undefined;

  const refuse = (status: Status, detail: string, retryAfterMs = 0): Answer => ({
    status,
    keptUntilMs: 0,
    retryAfterMs,
    detail,
  });
  const malformedRecipient = refuse(Status.MALFORMED, 'recipient: not a peer id');
  const malformedId = refuse(Status.MALFORMED, `blob_id: not ${BLOB_ID_BYTES} bytes`);
  const emptyBlob = refuse(Status.MALFORMED, 'blob: empty');
  const hashMismatch = refuse(Status.HASH_MISMATCH, 'blob_id: not the SHA-256 of the blob');
  const { strangers } = limits;
  /** What is said of outcomes that are not the same for every deposit. */
  const refusals: Record<number, Answer> = {
    [DepositOutcome.FULL]: refuse(
      Status.FULL,
      `recipient: its mailbox is full (${limits.blobs} blobs, ${limits.bytes} bytes)`,
    ),
    [DepositOutcome.SENDER_FULL]: refuse(
      Status.SENDER_FULL,
      `recipient: its mailbox holds ${limits.blobsPerSender} blobs of this depositor, and has no room for more`,
    ),
    [DepositOutcome.STORE_FULL]: refuse(
      Status.FULL,
      `this node holds as much as it may (${limits.totalBytes} bytes), for all recipients together`,
    ),
    [DepositOutcome.STRANGERS_FULL]: refuse(
      Status.FULL,
      `recipient: its mailbox has no more room for people it has not accepted yet (${strangers.blobs} blobs, ${strangers.bytes} bytes)`,
    ),
    [DepositOutcome.STRANGER_FULL]: refuse(
      Status.SENDER_FULL,
      `recipient: its mailbox has room for ${strangers.blobsPerSender} blobs of somebody it has not accepted yet, and holds as many`,
    ),
    [DepositOutcome.REFUSED]: refuse(Status.REFUSED, 'recipient: it takes nothing from this depositor'),
  };
  const unavailable = refuse(
    Status.UNAVAILABLE,
    'the mailbox can not use its disk at the moment',
    UNAVAILABLE_RETRY_MS,
  );

  /** The reason not to pass a deposit on to the store. */
  const refusal = ({ recipient, blobId, expiresMs, blob }: Deposit, now: number): Answer | undefined => {
    if (!isPeerIdBytes(recipient)) return malformedRecipient;
    if (blobId.byteLength !== BLOB_ID_BYTES) return malformedId;
    if (blob.byteLength === 0) return emptyBlob;
    if (blob.byteLength > limits.blobBytes) {
      return refuse(
        Status.TOO_LARGE,
        `blob: ${blob.byteLength} bytes are over the limit of ${limits.blobBytes}`,
      );
    }
    if (expiresMs <= now)
      return refuse(Status.EXPIRED, `expires_ms: ${expiresMs} is past, it is ${now} here`);
    if (!hash('sha256', blob, 'buffer').equals(blobId)) return hashMismatch;
    return undefined;
  };

  /** The reason not to take so many bytes from an address now. */
  const tooMuch = (group: string | undefined, bytes: number, now: number): Answer | undefined => {
    if (group === undefined) return undefined;
    const retryAfterMs = byteRate.takeAll(group, bytes, now);
    if (retryAfterMs === 0) return undefined;
    return refuse(Status.RATE_LIMITED, 'too many bytes from one address', retryAfterMs);
  };

  /** Puts the deposits of a batch that passed into the store and fills in their answers. */
  const storeAll = async (
    depositor: Uint8Array,
    group: string,
    passed: readonly PassedDeposit[],
    answers: Answer[],
    now: number,
  ): Promise<void> => {
    const { batch, keys } = packDeposits(depositor, passed, now, now + limits.keptMs);
    const { byteLength } = batch.bytes;
    // While too much is under commit, waiting pauses the stream that brings more.
    const giveBack = await underCommit.take(group, byteLength);
    let apart: PassedDeposit[][] = [];
    try {
      const { statuses, keptUntilMs } = await store.call('mailbox.deposit', batch);
      const stored = new Set<string>();
      let last: Answer | undefined;
      for (const [i, { index, issuedMs }] of passed.entries()) {
        const status = OUTCOME_STATUS[statuses[i]!]!;
        if (status === Status.STORED) stored.add(keys[batch.fields[i * DEPOSIT_FIELDS]!]!);
        if (issuedMs === NO_CAPABILITY) ofStrangers.set(status, (ofStrangers.get(status) ?? 0) + 1);
        const refused = refusals[statuses[i]!];
        if (refused !== undefined) last = refused;
        else if (last?.status !== status || last.keptUntilMs !== keptUntilMs[i]) {
          last = { status, keptUntilMs: keptUntilMs[i]!, retryAfterMs: 0, detail: '' };
        }
        answers[index] = last;
      }
      for (const key of stored) collections.get(key)?.deposited();
    } catch (error) {
      onStoreError(error as Error);
      // A mailbox that can't be read does not keep what is for others from theirs.
      if (batch.recipients.length > 1 && (error as StoreError).code === 'corrupt')
        apart = [...Map.groupBy(passed, ({ deposit }) => keyOf(deposit.recipient)).values()];
      else for (const { index } of passed) answers[index] = unavailable;
    } finally {
      giveBack();
    }
    await Promise.all(apart.map((some) => storeAll(depositor, group, some, answers, now)));
  };

  /**
   * Nothing is deleted by a clock that was just set, or that a machine woke up with: an hour later it may be right again,
   * and what is gone does not come back.
   */
  const sweep = async (signal: AbortSignal): Promise<void> => {
    const clock = clockWatch(nowMs);
    for (;;) {
      try {
        await delay(limits.sweepEveryMs, undefined, { signal, ref: false });
        // What a wrong clock took for expired is looked for again.
        for (const collection of collections.values()) collection.deposited();
        let after = 0;
        while (!clock.wasSet()) {
          signal.throwIfAborted();
          const { next, expired } = await store.call('mailbox.expire', { after, nowMs: nowMs() });
          totals.expired += expired;
          if (next === 0) break;
          after = next;
        }
      } catch (error) {
        if (signal.aborted) return;
        onStoreError(error as Error);
      }
    }
  };

  return {
    async deposit(peerId, deposits) {
      const now = nowMs();
      const depositor = peerIdToBytes(peerId).slice();
      const { granted, retryAfterMs } = rate.take(peerId.toString(), deposits.length, now);
      const group = groupOf(peerId.toString());
      const answers: Answer[] = [];
      const passed: Array<Omit<PassedDeposit, 'issuedMs'>> = [];
      for (const [index, deposit] of deposits.entries()) {
        if (index === granted) break;
        const answer = refusal(deposit, now) ?? tooMuch(group, deposit.blob.byteLength, now);
        if (answer === undefined) passed.push({ index, deposit });
        else answers[index] = answer;
      }
      if (granted < deposits.length) {
        const limited = refuse(
          Status.RATE_LIMITED,
          `more than ${limits.depositsPerMinute} deposits a minute, or too many from one address`,
          retryAfterMs,
        );
        for (let index = granted; index < deposits.length; index++) answers[index] = limited;
      }
      if (passed.length > 0) {
        const asked = passed.map(({ deposit }) => deposit);
        const issued = await capabilities.issuedMs(peerId, asked, now);
        const all = passed.map((one, i) => ({ ...one, issuedMs: issued[i]! }));
        await storeAll(depositor, group ?? peerId.toString(), all, answers, now);
      }
      for (const { status } of answers) byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
      return answers;
    },

    collect(peerId) {
      const recipient = peerIdToBytes(peerId).slice();
      const key = keyOf(recipient);
      if (collectRate.take(peerId.toString(), 1, nowMs()).granted === 0) return REFUSED_COLLECTION;
      collections.get(key)?.replace();
      const collection = openCollection({
        store,
        recipient,
        limits,
        roomFor: (bytes, options) => sending.take(groupOf(peerId.toString()) ?? '', bytes, options),
        nowMs,
        onSent: (count) => (totals.sent += count),
        onAcknowledged: (count) => (totals.acknowledged += count),
        onStoreError,
        onEnd: () => {
          if (collections.get(key) === collection) collections.delete(key);
        },
      });
      collections.set(key, collection);
      return collection;
    },

    counts: () => ({
      deposits: statusCounts(byStatus),
      ofStrangers: statusCounts(ofStrangers),
      capabilities: capabilities.counts(),
      ...totals,
      collecting: collections.size,
    }),

    start() {
      stopping = new AbortController();
      sweeping = sweep(stopping.signal);
    },

    async stop() {
      stopping.abort();
      for (const collection of collections.values()) collection.end();
      await sweeping;
    },
  };
}

/** What a peer gets that asks for its blobs too often. */
const REFUSED_COLLECTION: Collection = {
  async *batches() {
    // Nothing: it ends at once.
  },
  acknowledge(count) {
    throw new InvalidMessageError(`count: ${count} acknowledged, none sent`);
  },
  end: () => undefined,
  endReason: End_Reason.UNAVAILABLE,
};

function statusCounts(byStatus: ReadonlyMap<Status, number>): StatusCounts {
  const of = (status: Status): number => byStatus.get(status) ?? 0;
  return {
    stored: of(Status.STORED),
    already_there: of(Status.ALREADY_THERE),
    full: of(Status.FULL),
    sender_full: of(Status.SENDER_FULL),
    too_large: of(Status.TOO_LARGE),
    rate_limited: of(Status.RATE_LIMITED),
    malformed: of(Status.MALFORMED),
    hash_mismatch: of(Status.HASH_MISMATCH),
    expired: of(Status.EXPIRED),
    unavailable: of(Status.UNAVAILABLE),
    refused: of(Status.REFUSED),
  };
}
