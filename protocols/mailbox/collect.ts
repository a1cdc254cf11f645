import { InvalidMessageError } from '@libp2p/interface';
import type { PeerId, Stream } from '@libp2p/interface';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { collectError } from './errors.ts';
import { peerIdFromBytes } from './peer-id-bytes.ts';
import {
  decodeServerFrame,
  encodeAcknowledge,
  encodeCollect,
  MAX_BLOB_BYTES,
  MAX_SERVER_FRAME_BYTES,
} from './protocol.ts';
import type { HeldBlob } from './protocol.ts';

/** Depositors whose peer ids are kept parsed; one mailbox rarely has more. */
const KNOWN_DEPOSITORS = 1000;

/** A blob that waited for us. */
export interface Blob {
  /** Who left it, as the mailbox authenticated it. */
  depositor: PeerId;
  /** By the mailbox's clock, milliseconds since 1970. */
  depositedAtMs: number;
  blob: Uint8Array;
}

export interface CollectInit {
  /** Opens a `/mailbox/1.0.0` stream. */
  openStream: (options: { signal: AbortSignal }) => Promise<Stream>;
  /**
   * Takes the next blobs, in the order of their deposit; called again when it has resolved. Resolves once they are
   * committed, or known to be of no use: the mailbox then deletes them. When it rejects, they are kept and the stream ends.
   */
  onBlobs: (blobs: Blob[]) => Promise<void>;
  signal: AbortSignal;
}

/**
 * Collects what a mailbox holds for this peer, and what comes in while the stream is open. What was not acknowledged
 * comes again on the next stream, so the same blob may come twice.
 *
 * Resolves when the mailbox closes the stream.
 *
 * @throws MailboxError when the mailbox ends it: `replaced` by a newer stream, or `unavailable`
 * @throws InvalidMessageError when the mailbox breaks the protocol
 * @throws the signal's reason, what `onBlobs` threw, what the network threw
 */
export async function collect({ openStream, onBlobs, signal }: CollectInit): Promise<void> {
  const depositors = new Map<string, PeerId>();
  const stream = await openStream({ signal });
  try {
    await sendFrames(stream, [encodeCollect()], { signal });
    for await (const batch of readFrames(stream, { maxFrameBytes: MAX_SERVER_FRAME_BYTES, signal })) {
      const blobs: Blob[] = [];
      let failure: Error | undefined;
      for (const bytes of batch) {
        const frame = decodeServerFrame(bytes);
        if (frame?.type === 'blob') blobs.push(received(frame.held, depositors));
        else if (frame?.type === 'end') failure = collectError(frame.reason);
      }
      if (blobs.length > 0) {
        await onBlobs(blobs);
        if (failure === undefined) await sendFrames(stream, [encodeAcknowledge(blobs.length)], { signal });
      }
      if (failure !== undefined) throw failure;
    }
    await stream.close({ signal });
  } catch (error) {
    stream.abort(error as Error);
    throw error;
  }
}

function received({ depositor: bytes, depositedAtMs, blob }: HeldBlob, known: Map<string, PeerId>): Blob {
  if (blob.byteLength > MAX_BLOB_BYTES) {
    throw new InvalidMessageError(`blob: ${blob.byteLength} bytes are over the limit of ${MAX_BLOB_BYTES}`);
  }
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  let depositor = known.get(key);
  if (depositor === undefined) {
    depositor = peerIdFromBytes(bytes);
    if (depositor === undefined) throw new InvalidMessageError('depositor: not a peer id');
    if (known.size >= KNOWN_DEPOSITORS) known.clear();
    known.set(key, depositor);
  }
  return { depositor, depositedAtMs, blob };
}
