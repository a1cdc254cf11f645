import { isUtf8 } from 'node:buffer';
import { SendLine } from '../../protocols/control/contract.ts';
import type { SendLineView } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { MAX_TEXT_BYTES } from '../../protocols/control/routes.ts';
import type { MESSAGE_STATES } from '../../protocols/control/routes.ts';
import { refusalBody } from './refusals.ts';

export type Ref = string | number | undefined;

const NEWLINE = 0x0a;

/** The most bytes a UTF-16 code unit takes in UTF-8: shorter texts need no counting. */
const MAX_UTF8_BYTES = 3;

/** Cuts what a client streams into lines. Holds at most one unfinished line. */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #partial: Buffer[] = [];
  #partialBytes = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /**
   * Takes the next chunk, returns every line it completes; undefined stands for a line that is not UTF-8.
   *
   * @throws ControlError `too-large` for a line over the limit; what follows it can't be read then
   */
  push(chunk: Buffer): (string | undefined)[] {
    const first = chunk.indexOf(NEWLINE);
    if (this.#partialBytes + (first === -1 ? chunk.byteLength : first) > this.#maxLineBytes) {
      throw new ControlError('too-large', `a line is over the limit of ${this.#maxLineBytes} bytes`, {
        hint: 'the stream ends here: send what follows in a new request',
      });
    }
    if (first === -1) {
      this.#keep(chunk);
      return [];
    }
    const last = chunk.lastIndexOf(NEWLINE);
    const whole = chunk.subarray(0, last);
    const block = this.#partialBytes === 0 ? whole : Buffer.concat([...this.#partial, whole]);
    this.#partial = [];
    this.#partialBytes = 0;
    if (last + 1 < chunk.byteLength) this.#keep(chunk.subarray(last + 1));
    return decode(block);
  }

  /** The last line, where the stream ended without a newline. */
  end(): (string | undefined)[] {
    const block = Buffer.concat(this.#partial);
    this.#partial = [];
    this.#partialBytes = 0;
    return block.byteLength === 0 ? [] : decode(block);
  }

  #keep(chunk: Buffer): void {
    this.#partial.push(chunk);
    this.#partialBytes += chunk.byteLength;
  }
}

function decode(block: Buffer): (string | undefined)[] {
  if (isUtf8(block)) return block.toString().split('\n');
  // Lines are found as bytes, so that one bad line does not spoil its neighbours.
  const lines: (string | undefined)[] = [];
  for (let at = 0; at <= block.byteLength;) {
    const found = block.indexOf(NEWLINE, at);
    const end = found === -1 ? block.byteLength : found;
    const line = block.subarray(at, end);
    lines.push(isUtf8(line) ? line.toString() : undefined);
    at = end + 1;
  }
  return lines;
}

/** Accepts what `SendLine` accepts of the usual lines, at a twentieth of the cost. Tested against it. */
function isUsual(value: unknown): value is SendLineView {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { to, text, ref } = value as Record<string, unknown>;
  return (
    typeof to === 'string' &&
    to.length > 0 &&
    to.length <= 4096 &&
    typeof text === 'string' &&
    text.length > 0 &&
    text.isWellFormed() &&
    (text.length * MAX_UTF8_BYTES <= MAX_TEXT_BYTES || Buffer.byteLength(text) <= MAX_TEXT_BYTES) &&
    (ref === undefined || (typeof ref === 'string' ? ref.length <= 200 : Number.isFinite(ref)))
  );
}

export type ParsedLine = { line: SendLineView } | { ref: Ref; error: ControlError };

/**
 * Reads one line of the streaming send. A line that is refused keeps its `ref`, if it has a usable one.
 *
 * @param number which line it is, from 1, for the error's words
 */
export function parseSendLine(json: string | undefined, number: number): ParsedLine {
  let value: unknown;
  try {
    if (json === undefined) throw new SyntaxError('not UTF-8');
    value = JSON.parse(json);
  } catch (error) {
    return {
      ref: undefined,
      error: new ControlError('invalid', `line ${number} is not JSON in UTF-8`, {
        hint: 'one object a line: {"to": "…", "text": "…", "ref": 1}',
        cause: error,
      }),
    };
  }
  if (isUsual(value)) return { line: value };
  const { error, data } = SendLine.safeParse(value);
  if (error === undefined) return { line: data };
  const [issue] = error.issues;
  const field = issue!.path.join('.');
  const words = field === '' ? issue!.message : `${field}: ${issue!.message}`;
  return {
    ref: usableRef(value),
    error: new ControlError('invalid', `line ${number}: ${words}`, field === '' ? {} : { field }),
  };
}

function usableRef(value: unknown): Ref {
  const { error, data } = SendLine.shape.ref.safeParse((value as { ref?: unknown } | null)?.ref);
  return error === undefined ? data : undefined;
}

export interface StateAnswer {
  ref: Ref;
  /** The message's id and its recipient's peer id: neither has a character that JSON escapes. */
  id: string;
  to: string;
  state: (typeof MESSAGE_STATES)[number];
  failure: string | null;
}

/** The line that says which state a message reached: what `JSON.stringify` gives, at a third of the cost. */
export function stateLine({ ref, id, to, state, failure }: StateAnswer): string {
  const mark =
    ref === undefined ? '' : typeof ref === 'number' ? `"ref":${ref},` : `"ref":${JSON.stringify(ref)},`;
  const reason = failure === null ? '' : `,"failure":${JSON.stringify(failure)}`;
  return `{${mark}"id":"${id}","to":"${to}","state":"${state}"${reason}}\n`;
}

/** The line that says a message was refused. */
export function refusalLine(ref: Ref, error: ControlError): string {
  return `${JSON.stringify({ ref, ...refusalBody(error) })}\n`;
}
