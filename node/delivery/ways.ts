import type { OpenChat } from '../../protocols/chat/client.ts';
import type { VerifyOptions } from '../silent-connections.ts';

/** Waiting, as a parameter. */
export type Sleep = (ms: number, options: { signal: AbortSignal }) => Promise<void>;

/** What delivery to a peer needs of the rest of the daemon. */
export interface Ways {
  /** A chat stream to the peer, dialled by every way there is. */
  openChat(peer: string, options: { signal: AbortSignal }): Promise<OpenChat>;
  /**
   * Seals frames and leaves them in the peer's mailboxes; resolves when one has committed them.
   *
   * @param options.anew in a new session if possible: the peer may not have the present one
   * @throws when there is none, or all refuse; the message says why
   */
  deposit(
    peer: string,
    frames: Uint8Array[],
    options: { signal: AbortSignal; anew?: boolean },
  ): Promise<void>;
  /** Asks the peer for a sign of life, and drops the connections that give none: then it resolves to false. */
  verify(peer: string, options: VerifyOptions): Promise<boolean>;
}
