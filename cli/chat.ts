import { clearLine, createInterface, cursorTo } from 'node:readline';
import type { Interface } from 'node:readline';
import { handleLine } from './chat-commands.ts';
import { runChatSession } from './chat-session.ts';
import type { ChatSession } from './chat-session.ts';
import { CommandError, EXIT } from './exit-code.ts';

/** Lines read ahead of the daemon: enough to keep it busy, small beside the memory of a pipe. */
const MAX_WAITING_LINES = 256;

/** How long the end of the input waits for a daemon that is away. */
const LAST_LINES_MS = 10_000;

export interface ChatInit {
  dataDir: string;
  who: string | undefined;
  signal: AbortSignal;
}

/**
 * The chat in line mode, on this process's standard input and output: interactive on a terminal, plain lines in a pipe.
 * Ends with `/quit`, Ctrl-C or the end of the input, after the daemon has queued every line.
 *
 * @returns the exit code: 1 when anything typed could not be done
 */
export async function runChat({ dataDir, who, signal }: ChatInit): Promise<number> {
  const controller = new AbortController();
  const both = AbortSignal.any([signal, controller.signal]);
  const interactive = process.stdin.isTTY && process.stdout.isTTY;
  let terminal: Interface | undefined;

  const show = (line: string): void => {
    if (terminal === undefined) {
      process.stdout.write(`${line}\n`);
      return;
    }
    // Above the line being typed, which is drawn again below.
    cursorTo(process.stdout, 0);
    clearLine(process.stdout, 0);
    process.stdout.write(`${line}\n`);
    terminal.prompt(true);
  };

  let reading: Promise<number> | undefined;
  const onReady = (session: ChatSession): void => {
    if (interactive) {
      show(
        session.partner === undefined
          ? '-- /connect NAME to talk to somebody, /help for more --'
          : '-- /help for more, Ctrl-C to leave --',
      );
    }
    terminal = createInterface({
      input: process.stdin,
      terminal: interactive,
      ...(interactive ? { output: process.stdout } : undefined),
    });
    reading = readLines(session, terminal, interactive, show, both).finally(() => controller.abort());
    if (!interactive) terminal = undefined;
    reading.catch(() => {});
  };

  await runChatSession({ dataDir, who, show, signal: both, onReady });
  return (await reading) ?? EXIT.ok;
}

async function readLines(
  session: ChatSession,
  terminal: Interface,
  interactive: boolean,
  show: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const prompt = (): void => {
    if (!interactive) return;
    terminal.setPrompt(session.partner === undefined ? '> ' : `${session.partner.label}> `);
    terminal.prompt(true);
  };
  const close = (): void => terminal.close();
  signal.addEventListener('abort', close, { once: true });
  terminal.once('SIGINT', close);
  try {
    prompt();
    for await (const line of terminal) {
      if (!(await handleLine(session, line, show))) break;
      prompt();
      await session.outbox.whenAtMost(MAX_WAITING_LINES, { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', close);
    terminal.close();
    if (interactive) process.stdout.write('\n');
  }
  await handOver(session, signal);
  // A person has seen what went wrong; a script has only the exit code.
  return session.failed && !interactive ? EXIT.failed : EXIT.ok;
}

/** Waits until the daemon has taken the last lines. */
async function handOver({ outbox }: ChatSession, signal: AbortSignal): Promise<void> {
  try {
    await outbox.whenAtMost(0, { signal: AbortSignal.any([signal, AbortSignal.timeout(LAST_LINES_MS)]) });
  } catch {
    const lines = outbox.size === 1 ? 'the last line' : `the last ${outbox.size} lines`;
    throw new CommandError(`the daemon has not taken ${lines}: not sent`, EXIT.failed);
  }
}
