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
  log: Logger;
  /** Ends the streams. */
  signal: AbortSignal;
}

/** Takes the chat streams that others open. Resolves with what waits for the last of them, once the signal has fired. */
export async function chatService({
  host,
  decisions: given,
  isFriend,
  log,
  signal,
}: ChatServiceInit): Promise<() => Promise<void>> {
  const serving = new Set<Promise<void>>();
  const decisions = strangersInTurn(given, isFriend);
  await host.handle(
    CHAT_PROTOCOL,
    (stream: Stream, connection) => {
      const peer = connection.remotePeer.toString();
      if (parsePeerId(peer) === undefined) {
        stream.abort(new Error('only peers with an Ed25519 key can chat'));
        return;
      }
      const served = serveChat(stream, peer, decisions, { signal })
        .catch((error: unknown) =>
          log.debug({ peer, reason: (error as Error).message }, 'a chat stream ended'),
        )
        .finally(() => serving.delete(served));
      serving.add(served);
    },
    { maxInboundStreams: CHAT_LIMITS.maxInboundStreams, runOnLimitedConnection: true },
  );
  return async () => {
    await Promise.all(serving);
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
