import { InvalidMessageError, InvalidParametersError } from '@libp2p/interface';
import type { PeerId } from '@libp2p/interface';
import { prekeyError } from './errors.ts';
import { peerIdToBytes } from './peer-id-bytes.ts';
import {
  encodePrekeyRequest,
  MAX_ONE_TIME_PREKEYS,
  MAX_PREKEY_BYTES,
  PREKEY_ID_BYTES,
} from './prekey-frames.ts';
import type { HeldPrekey, PrekeyAnswer, PrekeyRequest } from './prekey-frames.ts';
import { singleRequest } from './single-request.ts';
import type { SingleRequestInit } from './single-request.ts';

/** Prekeys to leave at a mailbox. */
export interface PrekeysToPublish {
  /** At most 100, with those that are left there. */
  oneTime?: readonly HeldPrekey[];
  /** In place of the one before, which is kept for as long as this one is not expired before it. */
  lastResort?: HeldPrekey;
  /** All that the mailbox has of ours goes first; default false. */
  replace?: boolean;
}

/** A prekey of somebody else. Only its signature tells whether it is theirs. */
export interface TakenPrekey extends HeldPrekey {
  /** Others may have been given it too. */
  lastResort: boolean;
}

/** What a mailbox holds of our own prekeys, without what is expired. */
export interface PrekeyStock {
  /** The next one to be handed out first. */
  oneTimeIds: readonly Uint8Array[];
  /** Null when there is none. */
  lastResortId: Uint8Array | null;
}

/**
 * A mailbox, as far as prekeys go. All throw MailboxError for a refusal (`unsupported` when the mailbox is of a version
 * without prekeys), InvalidMessageError when the mailbox breaks the protocol, the signal's reason, a TimeoutError of
 * `AbortSignal.timeout` after 30 s without an answer, and what the network throws.
 */
export interface PrekeysClient {
  /**
   * Leaves prekeys: all of them, or none. They are on the mailbox's disk when it resolves. Without an answer, there is no
   * telling: `count` first, and never publish an id again that may have been handed out meanwhile.
   *
   * @returns how many one-time prekeys are left there
   * @throws InvalidParametersError for a prekey that no mailbox takes
   */
  publish(prekeys: PrekeysToPublish, options: { signal: AbortSignal }): Promise<{ left: number }>;
  /** Takes a prekey of a recipient. When the answer is lost, so is a one-time prekey; take another. */
  take(recipient: PeerId, options: { signal: AbortSignal }): Promise<TakenPrekey>;
  /** Asks what the mailbox holds of ours. */
  count(options: { signal: AbortSignal }): Promise<PrekeyStock>;
}

/** @throws InvalidParametersError */
function checkOwn({ id, expiresMs, prekey }: HeldPrekey): void {
  if (id.byteLength !== PREKEY_ID_BYTES) {
    throw new InvalidParametersError(`id: ${id.byteLength} bytes, not ${PREKEY_ID_BYTES}`);
  }
  if (prekey.byteLength === 0 || prekey.byteLength > MAX_PREKEY_BYTES) {
    throw new InvalidParametersError(`prekey: ${prekey.byteLength} bytes, not 1 to ${MAX_PREKEY_BYTES}`);
  }
  if (!Number.isSafeInteger(expiresMs) || expiresMs < 0) {
    throw new InvalidParametersError('expiresMs: not a time in milliseconds');
  }
}

/** @throws InvalidMessageError */
function checkTaken({ id, prekey }: HeldPrekey): void {
  if (id.byteLength !== PREKEY_ID_BYTES) {
    throw new InvalidMessageError(`id: ${id.byteLength} bytes, not ${PREKEY_ID_BYTES}`);
  }
  if (prekey.byteLength === 0 || prekey.byteLength > MAX_PREKEY_BYTES) {
    throw new InvalidMessageError(`prekey: ${prekey.byteLength} bytes, not 1 to ${MAX_PREKEY_BYTES}`);
  }
}

/**
 * Talks to a mailbox about prekeys, one stream a request: that happens a few times a day.
 *
 * @example
 * ```ts
 * const prekeys = prekeysClient({ openStream: ({ signal }) => connection.newStream(MAILBOX_PROTOCOL, { signal }) })
 * const { left } = await prekeys.publish({ oneTime: [{ id, expiresMs, prekey }] }, { signal })
 * ```
 */
export function prekeysClient(init: SingleRequestInit): PrekeysClient {
  const ask = async (request: PrekeyRequest, { signal }: { signal: AbortSignal }): Promise<PrekeyAnswer> => {
    const unsupported = 'the mailbox keeps no prekeys';
    const frame = await singleRequest(encodePrekeyRequest(request), { ...init, unsupported, signal });
    switch (frame.type) {
      case 'prekeys-published':
      case 'prekey-taken':
      case 'prekeys-counted':
      case 'prekeys-refused':
        return frame;
      default:
        throw new InvalidMessageError(`the mailbox answered a request about prekeys with ${frame.type}`);
    }
  };

  return {
    async publish({ oneTime = [], lastResort, replace = false }, options) {
      for (const prekey of oneTime) checkOwn(prekey);
      if (lastResort !== undefined) checkOwn(lastResort);
      if (oneTime.length > MAX_ONE_TIME_PREKEYS) {
        throw new InvalidParametersError(
          `oneTime: ${oneTime.length} prekeys, not ${MAX_ONE_TIME_PREKEYS} at the most`,
        );
      }
      const answer = await ask(
        { type: 'publish-prekeys', publication: { oneTime, lastResort, replace } },
        options,
      );
      if (answer.type !== 'prekeys-published') throw failure(answer);
      return { left: answer.left };
    },

    async take(recipient, options) {
      const answer = await ask({ type: 'take-prekey', recipient: peerIdToBytes(recipient) }, options);
      if (answer.type !== 'prekey-taken') throw failure(answer);
      checkTaken(answer.prekey);
      const { id, expiresMs, prekey } = answer.prekey;
      return { id: copyOf(id), expiresMs, prekey: copyOf(prekey), lastResort: answer.lastResort };
    },

    async count(options) {
      const answer = await ask({ type: 'count-prekeys' }, options);
      if (answer.type !== 'prekeys-counted') throw failure(answer);
      const { oneTimeIds, lastResortId = null } = answer;
      if (lastResortId !== null && lastResortId.byteLength !== PREKEY_ID_BYTES) {
        throw new InvalidMessageError(
          `last_resort_id: ${lastResortId.byteLength} bytes, not ${PREKEY_ID_BYTES}`,
        );
      }
      return {
        oneTimeIds: oneTimeIds.map(copyOf),
        lastResortId: lastResortId === null ? null : copyOf(lastResortId),
      };
    },
  };
}

/** A view would keep the whole network chunk in memory, and `slice` of a Buffer makes a view. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** A refusal, or the answer to another question. */
function failure(answer: PrekeyAnswer): Error {
  return answer.type === 'prekeys-refused'
    ? prekeyError(answer)
    : new InvalidMessageError('the mailbox answered another question');
}
