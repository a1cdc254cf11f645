import { randomUUID } from 'node:crypto';
import type { ControlClient } from '../protocols/control/client.ts';
import type { OperationResult } from '../protocols/control/contract.ts';
import { isAbsence } from './daemon-events.ts';

/** A line on its way to the daemon. */
export interface OutgoingLine {
  /** Chosen here, so that a line whose answer was lost can be handed over again without being sent twice. */
  id: string;
  to: string;
  text: string;
}

export interface ChatOutbox {
  /** Hands a line to the daemon, after those before it. Returns the id it will have. */
  push(to: string, text: string): string;
  /** The daemon is there, or with undefined away: lines wait for it. */
  connect(client: ControlClient | undefined): void;
  /** Lines the daemon has not taken yet. */
  readonly size: number;
  /** Resolves when at most `size` lines wait; throws the signal's reason. */
  whenAtMost(size: number, options: { signal: AbortSignal }): Promise<void>;
}

export interface ChatOutboxInit {
  signal: AbortSignal;
  onTaken: (line: OutgoingLine, sent: OperationResult<'send'>) => void;
  onRefused: (line: OutgoingLine, error: unknown) => void;
}

/** The lines of a chat, given to the daemon one by one in the order they were typed, whether it is there or not. */
export function chatOutbox({ signal, onTaken, onRefused }: ChatOutboxInit): ChatOutbox {
  const lines: OutgoingLine[] = [];
  const waiting = new Set<{ size: number; resolve: () => void }>();
  let client: ControlClient | undefined;
  let pumping = false;

  async function pump(): Promise<void> {
    if (pumping) return;
    pumping = true;
    while (client !== undefined && lines.length > 0 && !signal.aborted) {
      const line = lines[0]!;
      const used = client;
      try {
        const sent = await used.call('send', { ...line, wait: 'queued' }, { signal });
        lines.shift();
        onTaken(line, sent);
      } catch (error) {
        if (signal.aborted) break;
        if (isAbsence(error)) {
          // Tried again when the daemon is back; it may be back already.
          if (client === used) client = undefined;
          continue;
        }
        lines.shift();
        onRefused(line, error);
      }
      settle();
    }
    pumping = false;
  }

  function settle(): void {
    for (const waiter of waiting) {
      if (lines.length > waiter.size) continue;
      waiting.delete(waiter);
      waiter.resolve();
    }
  }

  return {
    push(to, text) {
      const id = randomUUID();
      lines.push({ id, to, text });
      void pump();
      return id;
    },

    connect(found) {
      client = found;
      void pump();
    },

    get size() {
      return lines.length;
    },

    async whenAtMost(size, { signal }) {
      if (lines.length <= size) return;
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiter = { size, resolve };
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      waiting.add(waiter);
      try {
        await promise;
      } finally {
        waiting.delete(waiter);
        signal.removeEventListener('abort', onAbort);
      }
    },
  };
}
