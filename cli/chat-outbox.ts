import type { ControlClient } from '../protocols/control/client.ts';
import type { OperationResult } from '../protocols/control/contract.ts';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import { isAbsence } from './daemon-events.ts';
import { isOwn } from './message-lines.ts';

/** A line on its way to the daemon. */
export interface OutgoingLine {
  to: string;
  text: string;
  /** When the daemon was first asked to take it, if its answer was lost: perhaps it has. */
  uncertainSince?: Date;
}

export interface ChatOutbox {
  /** Hands a line to the daemon, after those before it. */
  push(to: string, text: string): void;
  /** The line the daemon is being asked to take. */
  readonly current: OutgoingLine | undefined;
  /**
   * The daemon is there, or with undefined away: lines wait for it. Resolves when it is known whether it took the line
   * whose answer was lost.
   */
  connect(client: ControlClient | undefined): Promise<void>;
  /** Lines the daemon has not taken yet. */
  readonly size: number;
  /** Resolves when at most `size` lines wait; throws the signal's reason. */
  whenAtMost(size: number, options: { signal: AbortSignal }): Promise<void>;
}

export interface ChatOutboxInit {
  signal: AbortSignal;
  onTaken: (line: OutgoingLine, sent: Pick<OperationResult<'send'>, 'id' | 'state' | 'failure'>) => void;
  onRefused: (line: OutgoingLine, error: unknown) => void;
}

/** The line in question is among the last; others may have written since. */
const LOOK_BACK_MESSAGES = 200;

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
      const askedAt = new Date();
      try {
        const { to, text } = line;
        const sent = await used.call('send', { to, text, wait: 'queued' }, { signal });
        lines.shift();
        onTaken(line, sent);
      } catch (error) {
        if (signal.aborted) break;
        if (isAbsence(error)) {
          // Tried again when the daemon is back; it may be back already.
          if (error instanceof DaemonUnreachableError && error.mayHaveArrived)
            line.uncertainSince ??= askedAt;
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

  /** A line whose answer was lost is in the history if the daemon took it: then it is not handed over again. */
  async function findUncertain(found: ControlClient): Promise<void> {
    const line = lines[0];
    if (line?.uncertainSince === undefined) return;
    const since = line.uncertainSince.getTime();
    const { messages } = await found.call('history', { who: line.to, limit: LOOK_BACK_MESSAGES }, { signal });
    const taken = messages.findLast(
      (message) => isOwn(message) && message.text === line.text && Date.parse(message.sentAt) >= since,
    );
    delete line.uncertainSince;
    if (taken === undefined) return;
    lines.shift();
    onTaken(line, { id: taken.id, state: 'queued', failure: null });
    settle();
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
      lines.push({ to, text });
      void pump();
    },

    get current() {
      return pumping ? lines[0] : undefined;
    },

    async connect(found) {
      client = undefined;
      if (found !== undefined) await findUncertain(found);
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
