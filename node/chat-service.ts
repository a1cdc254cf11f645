import type { Stream } from '@libp2p/interface';
import type { Logger } from 'pino';
import type { ChatDecisions } from '../protocols/chat/decisions.ts';
import { serveChat } from '../protocols/chat/handler.ts';
import { CHAT_LIMITS, CHAT_PROTOCOL } from '../protocols/chat/protocol.ts';
import type { Host } from './host.ts';
import { parsePeerId } from './peer-ids.ts';

export interface ChatServiceInit {
  host: Host;
  decisions: ChatDecisions;
  /** Whose messages never wait for a stranger's. */
  isFriend: (peer: string) => boolean;
  /** Of whom no stream is taken. */
  isBlocked: (peer: string) => boolean;
  log: Logger;
  /** Ends the streams. */
  signal: AbortSignal;
}

export interface ChatService {
  /** Ends the streams of somebody. */
  close(peer: string): void;
  /** Waits for the last of the streams, once the signal has fired. */
  ended(): Promise<void>;
}

/** Takes the chat streams that others open. */
export async function chatService({
  host,
  decisions: given,
  isFriend,
  isBlocked,
  log,
  signal,
}: ChatServiceInit): Promise<ChatService> {
  const serving = new Map<Promise<void>, { peer: string; stream: Stream }>();
  const decisions = strangersInTurn(given, isFriend);
  await host.handle(
    CHAT_PROTOCOL,
    (stream: Stream, connection) => {
      const peer = connection.remotePeer.toString();
      if (parsePeerId(peer) === undefined) {
        stream.abort(new Error('only peers with an Ed25519 key can chat'));
        return;
      }
      if (isBlocked(peer)) {
        stream.abort(new Error('the user has blocked the peer'));
        return;
      }
      const served = serveChat(stream, peer, decisions, { signal })
        .catch((error: unknown) =>
          log.debug({ peer, reason: (error as Error).message }, 'a chat stream ended'),
        )
        .finally(() => serving.delete(served));
      serving.set(served, { peer, stream });
    },
    { maxInboundStreams: CHAT_LIMITS.maxInboundStreams, runOnLimitedConnection: true },
  );
  return {
    close(peer) {
      for (const served of serving.values())
        if (served.peer === peer) served.stream.abort(new Error('the user has blocked the peer'));
    },
    async ended() {
      await Promise.all(serving.keys());
    },
  };
}

/**
 * Has the messages of strangers committed one batch after the other: what comes in one turn shares a commit, and a crowd of
 * strangers would make a friend wait for all of theirs.
 */
export function strangersInTurn(
  decisions: ChatDecisions,
  isFriend: ChatServiceInit['isFriend'],
): ChatDecisions {
  let before: Promise<unknown> = Promise.resolve();
  return {
    ...decisions,
    receive(peer, messages) {
      if (isFriend(peer)) return decisions.receive(peer, messages);
      const received = before.then(() => decisions.receive(peer, messages));
      before = received.catch(() => undefined);
      return received;
    },
  };
}
