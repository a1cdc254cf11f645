import type { Ed25519PrivateKey } from '@libp2p/interface';
import { PREKEY_ID_BYTES } from '../../protocols/mailbox/prekey-frames.ts';
import { PrekeyError } from '../../protocols/mailbox/prekey.ts';
import type { Prekey } from '../../protocols/mailbox/prekey.ts';
import {
  isSealingPeer,
  KEM_CIPHERTEXT_BYTES,
  layOutSealed,
  MAX_SEALED_CONTENT_BYTES,
  MAX_SESSION_BLOBS,
  NONCE_BYTES,
  openingText,
  SEALED_PEER_ID_BYTES,
  SESSION_ID_BYTES,
  sessionIdOf,
  sessionInfo,
} from '../../protocols/mailbox/sealed.ts';
import type { OpeningBody, OpeningHeader } from '../../protocols/mailbox/sealed.ts';
import { chainFields, encrypt, keyOf, readChain } from './chain.ts';
import type { Chain } from './chain.ts';
import { COINS_BYTES, encapsulate } from './hpke.ts';
import { encodeState, isAllZero, SessionStateError, stateReader, time, uint16 } from './state.ts';

/** Blobs after which a session is renewed. Whoever takes its keys reads no more than what is left of them. */
export const RENEW_AFTER_BLOBS = 200;

/** Age after which a session is renewed, for the same reason. */
export const RENEW_AFTER_MS = 24 * 3600_000;

/** A clock that is further back than this was set: then the age of a session says nothing. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * - `too-large`: over `MAX_SEALED_CONTENT_BYTES`
 * - `exhausted`: the session has sealed `MAX_SESSION_BLOBS`; only a new one seals more
 */
export type SealingErrorCode = 'too-large' | 'exhausted';

/** Something that this session can't seal. It has not changed. */
export class SealingError extends Error {
  override name = 'SealingError';
  readonly code: SealingErrorCode;

  constructor(message: string, code: SealingErrorCode) {
    super(message);
    this.code = code;
  }
}

/** The sender's side of a session. Plain data, never changed in place: each step returns the state after it. */
export interface OutgoingSession {
  /** 16 bytes. */
  id: Uint8Array;
  /** Peer id bytes. */
  recipient: Uint8Array;
  /** By the clock of this computer, milliseconds since 1970. */
  openedAtMs: number;
  /** The number of the next blob. */
  counter: number;
  chain: Chain;
  /** Until the recipient is known to have the session; each blob carries it. */
  opening?: OpeningHeader & OpeningBody;
}

/**
 * Opens a session to a prekey, which must not be used for another one. Takes some milliseconds.
 *
 * @param init.recipient whose prekey it is, as peer id bytes
 * @param init.coins 64 random bytes, never used again
 * @throws PrekeyError `unusable`
 */
export async function startSession(
  identity: Pick<Ed25519PrivateKey, 'publicKey' | 'sign'>,
  init: {
    recipient: Uint8Array;
    prekey: Pick<Prekey, 'id' | 'publicKey'>;
    nowMs: number;
    coins: Uint8Array;
  },
): Promise<OutgoingSession> {
  const { recipient, prekey, nowMs, coins } = init;
  if (!isSealingPeer(recipient)) throw new RangeError('recipient: not the peer id of an Ed25519 key');
  if (coins.byteLength !== COINS_BYTES || isAllZero(coins)) {
    throw new RangeError(`coins: not ${COINS_BYTES} random bytes`);
  }
  let secret;
  try {
    const info = sessionInfo(recipient, prekey.id);
    secret = await encapsulate({ publicKey: prekey.publicKey, info, coins });
  } catch (error) {
    throw new PrekeyError('the public key of the prekey is none', 'unusable', { cause: error });
  }
  const { kemCiphertext, chainKey } = secret;
  const header = { prekeyId: prekey.id, kemCiphertext };
  const id = sessionIdOf(header);
  const sender = identity.publicKey.toMultihash().bytes;
  const text = openingText({ sender, recipient, prekeyPublicKey: prekey.publicKey, sessionId: id, header });
  const signature = await identity.sign(text);
  return {
    id,
    recipient,
    openedAtMs: nowMs,
    counter: 0,
    chain: { next: 0, chainKey, keys: [] },
    opening: { ...header, sender, signature },
  };
}

/**
 * Seals content into a blob of 1, 4, 16, 64 or 256 KiB. The state returned has to be committed before the blob leaves: no key
 * may seal twice. Give the old state to `overwriteKeys` then.
 *
 * @param init.nonce 12 random bytes. A key seals once; should a sender be restored from a backup and seal with a key again,
 *   the two blobs still tell nothing of each other.
 * @throws SealingError
 */
export function seal(
  session: OutgoingSession,
  content: Uint8Array,
  { nonce }: { nonce: Uint8Array },
): { blob: Uint8Array; session: OutgoingSession } {
  const { id, counter, opening } = session;
  if (nonce.byteLength !== NONCE_BYTES) throw new RangeError(`nonce: not ${NONCE_BYTES} bytes`);
  if (counter >= MAX_SESSION_BLOBS) {
    throw new SealingError(`the session has sealed ${counter} blobs`, 'exhausted');
  }
  if (content.byteLength > MAX_SEALED_CONTENT_BYTES) {
    throw new SealingError(`${content.byteLength} bytes, over ${MAX_SEALED_CONTENT_BYTES}`, 'too-large');
  }
  const header = { sessionId: id, counter, nonce };
  const { blob, headerBytes, plaintext, tag } =
    opening === undefined
      ? layOutSealed(header, { content })
      : layOutSealed({ ...header, opening }, { content, opening });
  const found = keyOf(session.chain, counter);
  if (found === undefined) throw new SessionStateError(`the key of blob ${counter} is missing`);
  const { key, chain } = found;
  encrypt({ key, nonce, header: headerBytes, plaintext, tag });
  if (counter >= session.chain.next) key.fill(0);
  return { blob, session: { ...session, counter: counter + 1, chain } };
}

/** The session once its recipient has confirmed, end to end, something that was sealed with it. Its blobs get smaller. */
export function confirmed(session: OutgoingSession): OutgoingSession {
  const { id, recipient, openedAtMs, counter, chain } = session;
  return { id, recipient, openedAtMs, counter, chain };
}

/**
 * Whether to open a new session before sealing more. `due`: if a prekey is to be had, else the session goes on. `must`: it
 * seals nothing any more.
 *
 * @param init.prekeyArrivedMs when the recipient's newest unused prekey came in, if we have one
 */
export function renewal(
  { openedAtMs, counter }: Pick<OutgoingSession, 'openedAtMs' | 'counter'>,
  { nowMs, prekeyArrivedMs = -Infinity }: { nowMs: number; prekeyArrivedMs?: number | undefined },
): 'keep' | 'due' | 'must' {
  if (counter >= MAX_SESSION_BLOBS) return 'must';
  const ageMs = nowMs - openedAtMs;
  const isYoung = ageMs < RENEW_AFTER_MS && ageMs >= -CLOCK_TOLERANCE_MS;
  return isYoung && counter < RENEW_AFTER_BLOBS && prekeyArrivedMs <= openedAtMs ? 'keep' : 'due';
}

/** A session as bytes for the store: 103 of them, 1,341 with its opening, and up to 238 for keys that are next. */
export function encodeOutgoing(session: OutgoingSession): Uint8Array {
  const { id, recipient, openedAtMs, counter, chain, opening } = session;
  const fields = [id, recipient, time(openedAtMs), uint16(counter), ...chainFields(chain)];
  if (opening === undefined) return encodeState('outgoing', [...fields, Uint8Array.of(0)]);
  const { prekeyId, kemCiphertext, sender, signature } = opening;
  return encodeState('outgoing', [...fields, Uint8Array.of(1), prekeyId, kemCiphertext, sender, signature]);
}

/**
 * Reads what `encodeOutgoing` wrote.
 *
 * @throws SessionStateError
 */
export function decodeOutgoing(bytes: Uint8Array): OutgoingSession {
  const reader = stateReader('outgoing', bytes);
  const id = reader.bytes(SESSION_ID_BYTES);
  const recipient = reader.bytes(SEALED_PEER_ID_BYTES);
  const openedAtMs = reader.time();
  const counter = reader.uint16();
  if (counter > MAX_SESSION_BLOBS) throw new SessionStateError(`blob ${counter} of a session`);
  const session: OutgoingSession = { id, recipient, openedAtMs, counter, chain: readChain(reader) };
  const hasOpening = reader.uint8();
  if (hasOpening > 1) throw new SessionStateError('neither with an opening nor without');
  if (hasOpening === 1) {
    session.opening = {
      prekeyId: reader.bytes(PREKEY_ID_BYTES),
      kemCiphertext: reader.bytes(KEM_CIPHERTEXT_BYTES),
      sender: reader.bytes(SEALED_PEER_ID_BYTES),
      signature: reader.bytes(64),
    };
  }
  reader.end();
  return session;
}
