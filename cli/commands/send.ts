import { MAX_TEXT_BYTES } from '../../protocols/control/routes.ts';
import type { CommandContext } from '../command.ts';
import { CommandError, EXIT, UsageError } from '../exit-code.ts';
import { describeState } from '../message-lines.ts';
import { safeJson, safeLine } from '../terminal-text.ts';

type State = 'queued' | 'stored' | 'delivered';

/** How far along a message is; the daemon may answer with a later state than was waited for. */
const PROGRESS = { failed: -1, queued: 0, stored: 1, delivered: 2, read: 3 } as const;

/** The daemon answers when the time is up; one that doesn't answer at all is given this much more. */
const ANSWER_GRACE_MS = 5000;

/** `tincan send NAME TEXT`: sends a message and says how far it got. */
export async function run(
  { client, json, print, note }: CommandContext,
  args: readonly string[],
  { wait, timeout }: { wait: State; timeout: number },
): Promise<number> {
  const [to, ...words] = args;
  const text = words.length === 1 && words[0] === '-' ? await readInput() : words.join(' ');
  if (text === '') throw new UsageError('there is nothing to send: the text is empty');

  const signal = AbortSignal.timeout(timeout + ANSWER_GRACE_MS);
  const sent = await client
    .call('send', { to: to!, text, wait, timeoutMs: timeout }, { signal })
    .catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw new CommandError('the daemon did not answer in time', EXIT.timeout);
    });
  const { id, state, failure } = sent;
  if (json) print(safeJson({ id, state, to: sent.to }));
  else print(`${describeState(state, failure)}  ${id}`);
  if (state === 'failed') {
    note(`tincan: not sent: ${safeLine(failure ?? 'no reason given')}`);
    return EXIT.failed;
  }
  if (PROGRESS[state] < PROGRESS[wait]) {
    const why = failure === null ? '' : ` (${safeLine(failure)})`;
    note(
      `tincan: not ${wait} within ${timeout / 1000} s${why}; it stays in the outbox until it is delivered`,
    );
    return EXIT.timeout;
  }
  if (failure !== null) note(`tincan: ${safeLine(failure)}`);
  return EXIT.ok;
}

/** All of standard input as one message, without the line break at its end. */
async function readInput(): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin as AsyncIterable<string>) {
    text += chunk;
    if (Buffer.byteLength(text) > MAX_TEXT_BYTES + 2) {
      throw new UsageError(`a message has at most ${MAX_TEXT_BYTES} bytes; standard input has more`);
    }
  }
  return text.replace(/\r?\n$/, '');
}
