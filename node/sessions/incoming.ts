import { PREKEY_ID_BYTES } from '../../protocols/mailbox/prekey-frames.ts';
import { isSignedBy } from '../../protocols/mailbox/prekey.ts';
import {
  openingText,
  readSealedBody,
  SEALED_PEER_ID_BYTES,
  SealedError,
  SESSION_ID_BYTES,
  sessionInfo,
} from '../../protocols/mailbox/sealed.ts';
import type { OpeningHeader, SealedBlob, SealedBody } from '../../protocols/mailbox/sealed.ts';
import { chainFields, decrypt, keyOf, overwriteKeys, readChain } from './chain.ts';
import type { Chain } from './chain.ts';
import { decapsulate } from './hpke.ts';
import type { OwnPrekey } from './prekeys.ts';
import { encodeState, stateReader, time } from './state.ts';

/**
 * How long after its last blob a session may still get one: a day of use, 21 days in a mailbox, and a week for clocks and
 * for mailboxes that were switched off. It can be deleted then, unless the secret of its prekey is here: while it is, who
 * replays its blobs would open it anew.
 */
export const INCOMING_KEPT_MS = 29 * 24 * 3600_000;

/** The recipient's side of a session. Plain data, never changed in place. */
export interface IncomingSession {
  /** 16 bytes. */
  id: Uint8Array;
  /** Peer id bytes of who opened it, which its signature proved. */
  sender: Uint8Array;
  /** The prekey it was opened to. */
  prekeyId: Uint8Array;
  /** When the last blob of it was taken, milliseconds since 1970. */
  lastTakenMs: number;
  /** With the keys of blobs that have not come. */
  chain: Chain;
}

/** What a blob held, and what has to be committed together with it, or forgotten together with it. */
export interface Taken {
  /** Peer id bytes. */
  sender: Uint8Array;
  /** A copy. */
  content: Uint8Array;
  /** To be stored in place of the session given, or as a new one. */
  session: IncomingSession;
  /** The id of the one-time prekey whose secret has to be deleted: it opened this session. */
  usedPrekey?: Uint8Array;
}

/** What the store has for a blob. */
export interface Known {
  /** Our own peer id bytes. */
  recipient: Uint8Array;
  nowMs: number;
  /** By `sessionId`. */
  session?: IncomingSession | undefined;
  /** By `opening.prekeyId`; looked at only when there is no session. */
  prekey?: OwnPrekey | undefined;
}

/**
 * Opens a blob. Blobs of one session are to be taken one after the other, each with the state after the one before; the
 * order in which they were sealed does not matter.
 *
 * @throws SealedError; then there is nothing to commit
 */
export async function takeSealed(blob: SealedBlob, known: Known): Promise<Taken> {
  const { session, prekey, nowMs } = known;
  if (session !== undefined) return takeInSession(blob, session, { nowMs });
  const { opening } = blob;
  if (opening === undefined) {
    throw new SealedError('the blob is of a session that is not known here', 'unknown-session');
  }
  if (prekey === undefined || !isSame(prekey.id, opening.prekeyId)) {
    throw new SealedError('the prekey of the session is not here', 'unknown-prekey');
  }
  return takeOpening({ ...blob, opening }, { ...known, prekey });
}

/**
 * Opens a blob of a session that we have. Its opening, if it carries one, was checked when the session came.
 *
 * @throws SealedError
 */
export function takeInSession(
  blob: SealedBlob,
  session: IncomingSession,
  { nowMs }: { nowMs: number },
): Taken {
  if (!isSame(blob.sessionId, session.id)) {
    throw new SealedError('the blob is of another session', 'unknown-session');
  }
  const { content, chain } = openWith(session.chain, blob);
  return { sender: session.sender, content, session: { ...session, lastTakenMs: nowMs, chain } };
}

async function takeOpening(
  blob: SealedBlob & { opening: OpeningHeader },
  { prekey, recipient, nowMs }: Known & { prekey: OwnPrekey },
): Promise<Taken> {
  const { opening: header, sessionId } = blob;
  let firstKey;
  try {
    firstKey = await decapsulate({
      secretKey: prekey.secretKey,
      kemCiphertext: header.kemCiphertext,
      info: sessionInfo(recipient, prekey.id),
    });
  } catch (error) {
    throw new SealedError('the KEM ciphertext is none', 'malformed', { cause: error });
  }
  let opened;
  try {
    opened = openWith({ next: 0, chainKey: firstKey, keys: [] }, blob);
  } finally {
    firstKey.fill(0);
  }
  const { opening, content, chain } = opened;
  const { sender, signature } = opening!;
  const text = openingText({ sender, recipient, prekeyPublicKey: prekey.publicKey, sessionId, header });
  if (!(await isSignedBy(sender, text, signature))) {
    overwriteKeys(chain);
    throw new SealedError('the opening is not signed by its sender', 'bad-signature');
  }
  const session: IncomingSession = {
    id: Uint8Array.from(sessionId),
    sender: Uint8Array.from(sender),
    prekeyId: prekey.id,
    lastTakenMs: nowMs,
    chain,
  };
  const taken: Taken = { sender: session.sender, content, session };
  if (prekey.kind === 'one-time') taken.usedPrekey = prekey.id;
  return taken;
}

/** What is in a blob, and the chain without its key. When it does not open, the chain given is all there is. */
function openWith(chain: Chain, blob: SealedBlob): SealedBody & { chain: Chain } {
  const { counter, nonce, headerBytes, ciphertext, tag } = blob;
  const found = keyOf(chain, counter);
  if (found === undefined) {
    throw new SealedError(`blob ${counter} of its session was opened before`, 'used-key');
  }
  const { key } = found;
  try {
    const plaintext = decrypt({ key, nonce, header: headerBytes, ciphertext, tag });
    if (plaintext === undefined) throw new SealedError('the blob was not sealed with its session', 'forged');
    return { ...readSealedBody(plaintext, blob.opening !== undefined), chain: found.chain };
  } catch (error) {
    overwriteKeys(found.chain, chain);
    throw error;
  } finally {
    if (counter >= chain.next) key.fill(0);
  }
}

/** A session as bytes for the store: 116 of them, and 34 for each key that has not been used: 17,490 at the most. */
export function encodeIncoming(session: IncomingSession): Uint8Array {
  const { id, sender, prekeyId, lastTakenMs, chain } = session;
  return encodeState('incoming', [id, sender, prekeyId, time(lastTakenMs), ...chainFields(chain)]);
}

/**
 * Reads what `encodeIncoming` wrote.
 *
 * @throws SessionStateError
 */
export function decodeIncoming(bytes: Uint8Array): IncomingSession {
  const reader = stateReader('incoming', bytes);
  const session: IncomingSession = {
    id: reader.bytes(SESSION_ID_BYTES),
    sender: reader.bytes(SEALED_PEER_ID_BYTES),
    prekeyId: reader.bytes(PREKEY_ID_BYTES),
    lastTakenMs: reader.time(),
    chain: readChain(reader),
  };
  reader.end();
  return session;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
