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
  log: Logger;
  /** Ends the streams. */
  signal: AbortSignal;
}

/** Takes the chat streams that others open. Resolves with what waits for the last of them, once the signal has fired. */
export async function chatService({
  host,
  decisions,
  log,
  signal,
}: ChatServiceInit): Promise<() => Promise<void>> {
  const serving = new Set<Promise<void>>();
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
