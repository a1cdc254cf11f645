import { StringDecoder } from 'node:string_decoder';
import { CommandError } from './exit-code.ts';

/** As a shell says of a program that Ctrl-C has ended. */
const INTERRUPTED = 130;

/** A terminal's keyboard, and where to write the question. */
export interface HiddenInput {
  input: NodeJS.ReadableStream & { setRawMode?: (raw: boolean) => unknown };
  output: { write: (text: string) => unknown };
}

/**
 * Asks for a line without showing what is typed.
 *
 * @throws CommandError when the user has ended it with Ctrl-C or Ctrl-D
 */
export async function readHidden(
  question: string,
  { input, output }: HiddenInput,
  { signal }: { signal: AbortSignal },
): Promise<string> {
  signal.throwIfAborted();
  // Before the question: somebody may type as soon as it is there.
  input.setRawMode?.(true);
  output.write(question);
  const decoder = new StringDecoder('utf8');
  const typed: string[] = [];
  const done = Promise.withResolvers<string>();
  const onData = (chunk: Buffer | string): void => {
    const text = typeof chunk === 'string' ? chunk : decoder.write(chunk);
    // An arrow or another key that writes nothing: it comes alone.
    if (text.startsWith('\u001B')) return;
    for (const character of text) {
      switch (character) {
        case '\r':
        case '\n':
          return done.resolve(typed.join(''));
        case '\u0003':
        case '\u0004':
          return done.reject(new CommandError('no passphrase was given', INTERRUPTED));
        case '\b':
        case '\u007F':
          typed.pop();
          break;
        case '\u0015':
          typed.length = 0;
          break;
        default:
          if (character >= ' ') typed.push(character);
      }
    }
  };
  const onEnd = (): void => done.reject(new CommandError('no passphrase was given', INTERRUPTED));
  const onAbort = (): void => done.reject(signal.reason as Error);
  input.on('data', onData).on('end', onEnd).resume();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await done.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    input.off('data', onData).off('end', onEnd).pause();
    input.setRawMode?.(false);
    output.write('\n');
    typed.length = 0;
  }
}
