import { Readable } from 'node:stream';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { z } from 'zod';
import { parseHttpAddress } from '../../../node/api/access.ts';
import { LineSplitter, parseSendLine } from '../../../node/api/send-lines.ts';
import {
  formatCursor as formatEventCursor,
  parseCursor as parseEventCursor,
} from '../../../node/event-cursor.ts';
import type { EventCursor } from '../../../node/event-cursor.ts';
import { formatCursor, parseCursor } from '../../../node/message-view.ts';
import { contract } from '../../../protocols/control/contract.ts';
import type { Operation, SendLineView } from '../../../protocols/control/contract.ts';
import { eventStream } from '../../../protocols/control/event-stream.ts';
import { DaemonUnreachableError, readControlError } from '../../../protocols/control/exchange.ts';
import type { Exchanger } from '../../../protocols/control/exchange.ts';
import { sendStream } from '../../../protocols/control/send-stream.ts';
import { textFrom } from '../fuzz/fuzz-mutation.ts';
import { ada } from '../fuzz/fuzz-papers.ts';
import type { Decoder, Subject } from '../subject.ts';

const PEER = ada.publicKey.toString();
const ID = '01997f3e-7a5c-7cc4-a3f0-0123456789ab';
const MAX_LINE_BYTES = 4096;

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const json = (value: unknown): Uint8Array => bytes(JSON.stringify(value));

const BODIES: Partial<Record<keyof typeof contract, unknown>> = {
  claimName: { name: 'ada' },
  verify: { verified: true, code: '12345 '.repeat(12).trim() },
  unlock: { passphrase: 'correct horse battery' },
  compareCode: { code: `tincan-verify:1/${PEER}/${PEER}` },
  decideKeyChange: { decision: 'accept', claimed: PEER },
  addContact: { who: PEER, petname: 'Ben \u{1f9ea}' },
  connect: { who: 'ben', timeoutMs: 120_000 },
  send: { to: 'ben', text: 'hello \u0000 \ufeff', wait: 'delivered', timeoutMs: 0 },
  markRead: { upTo: ID },
};

/** As JSON has it, which knows no -0. */
function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** The body of an operation, as the server reads it: what was accepted is all that the operation gets. */
function bodyDecoder([name, sample]: [string, unknown]): Decoder {
  const { body } = contract[name as keyof typeof contract] as Operation;
  return {
    name: `body of ${name}`,
    decode: (input) => plain(body!.parse(JSON.parse(textFrom(input)))),
    encode: (value: unknown) => json(value),
    refusals: ['SyntaxError', 'ZodError'],
    samples: () => [json(sample)],
    regressions: name === 'send' ? [Buffer.from('{"to":"a","text":"\\ud800"}').toString('hex')] : [],
  };
}

/** All that comes in a path or behind its question mark. */
const Query = z.object({
  ...contract.history.params.shape,
  ...contract.history.query.shape,
  ...contract.inbox.query.shape,
  ...contract.message.params.shape,
});

interface Lines {
  lines: SendLineView[];
}

/** Lines as a client streams them, in chunks whose length the first byte gives. */
function decodeLines(input: Uint8Array): Lines {
  const cut = 1 + (input[0] ?? 0);
  const splitter = new LineSplitter(MAX_LINE_BYTES);
  const texts: (string | undefined)[] = [];
  for (let at = 1; at < input.byteLength; at += cut)
    texts.push(...splitter.push(Buffer.from(input.subarray(at, at + cut))));
  const lines = [...texts, ...splitter.end()].flatMap((text, index) => {
    if (text?.trim() === '') return [];
    const parsed = parseSendLine(text, index + 1);
    return 'line' in parsed ? [parsed.line] : [];
  });
  // A line is held in no more than it was sent as, but its own parser may take fields that are not ours.
  return plain({ lines: lines.map(({ to, text, ref }) => ({ to, text, ref })) });
}

const encodeLines = ({ lines }: Lines): Uint8Array =>
  bytes(`\u0040${lines.map((line) => JSON.stringify(line)).join('\n')}`);

/** A daemon that answers with these bytes, whatever it is asked. */
function answering(input: Uint8Array, statusCode = 200): Exchanger {
  const request = { setNoDelay: () => undefined, destroy: () => undefined, on: () => undefined };
  return {
    open: () => ({
      request: { ...request, flushHeaders: () => undefined } as unknown as ClientRequest,
      response: Promise.resolve(answer(input, statusCode)),
    }),
    close: () => undefined,
  };
}

function answer(input: Uint8Array, statusCode: number): IncomingMessage {
  const half = input.byteLength >> 1;
  const body = Readable.from([Buffer.from(input.subarray(0, half)), Buffer.from(input.subarray(half))], {
    objectMode: false,
  });
  return Object.assign(body, { statusCode }) as unknown as IncomingMessage;
}

async function readAnswers(input: Uint8Array): Promise<unknown[]> {
  const answers: unknown[] = [];
  for await (const each of sendStream(answering(input), {})) answers.push(each);
  return answers;
}

/** The events up to where the daemon goes away. */
async function readEvents(input: Uint8Array): Promise<unknown[]> {
  const events: unknown[] = [];
  const stream = eventStream(answering(input), {});
  try {
    for await (const event of stream) events.push(event);
  } catch (error) {
    if (!(error instanceof DaemonUnreachableError)) throw error;
  }
  return [events, stream.cursor];
}

const EVENT = JSON.stringify({ type: 'warning', cursor: 'abcdefghijk.1.2', message: 'a\nb' });

export const subject: Subject = {
  name: 'control',
  decoders: [
    ...Object.entries(BODIES).map(bodyDecoder),
    {
      name: 'query and path',
      decode: (input) => Query.parse(Object.fromEntries(new URLSearchParams(textFrom(input)))),
      refusals: ['ZodError'],
      samples: () => [
        bytes(`who=ben&unread=true&limit=10&before=1.2.3&after=1.2.3&id=${ID}`),
        bytes(`who=${PEER}&id=${ID}`),
      ],
    },
    {
      name: 'lines of the streaming send',
      decode: decodeLines,
      // A refusal, which keeps its cause, for each line of two bytes; they come from the user's own programs.
      allocatedPerByte: 2048,
      encode: encodeLines,
      refusals: ['ControlError'],
      samples: () => [
        encodeLines({
          lines: [
            { to: 'ben', text: 'hello', ref: 1 },
            { to: PEER, text: 'ß\u{1f9ea}', ref: 'mine' },
          ],
        }),
        bytes('\u0003{"to":"ben","text":"\\u0000"}\n\n{"to":1}\r\n'),
      ],
    },
    {
      name: 'event cursor',
      decode: (input) => parseEventCursor(textFrom(input)),
      encode: ({ epoch, number, row }: EventCursor) => bytes(formatEventCursor(epoch, number, row)),
      refusals: ['ControlError'],
      samples: () => [bytes('abcdefghijk.1.2'), bytes('-.0.999999999999999')],
    },
    {
      name: 'history cursor',
      decode: (input) => parseCursor(textFrom(input)) ?? { clockMs: 0, clockCount: 0, row: 0 },
      encode: (position: ReturnType<typeof parseCursor> & object) => bytes(formatCursor(position)),
      refusals: [],
      samples: () => [
        bytes(formatCursor({ clockMs: 1.7e12, clockCount: 3, row: 17 })),
        bytes('0.0.9007199254740991'),
      ],
    },
    {
      name: 'HTTP address',
      decode: (input) => parseHttpAddress(textFrom(input)),
      refusals: ['ControlError'],
      samples: () => ['127.0.0.1:0', '[::1]:65535', 'localhost:80', '127.9.9.9:1'].map(bytes),
    },
    {
      name: 'events, as a client reads them',
      decode: readEvents,
      refusals: ['InvalidAnswerError'],
      samples: () => [
        bytes(`:\nid: abcdefghijk.1.2\n\nid: abcdefghijk.2.2\nevent: warning\ndata: ${EVENT}\n\n`),
        bytes(`data:${EVENT.slice(0, 1)}\ndata:${EVENT.slice(1)}\n\n: alive\n\n`),
      ],
      // An event that is no JSON.
      regressions: ['646174613a7b0a0a'],
    },
    {
      name: 'answers to the streaming send, as a client reads them',
      decode: (input) => readAnswers(input),
      refusals: ['InvalidAnswerError'],
      samples: () => [bytes(`{"ref":1,"id":"${ID}","to":"${PEER}","state":"queued"}\n{"error":{}}\n`)],
    },
    {
      name: 'error, as a client reads it',
      async decode(input) {
        const { name, code, message } = await readControlError(answer(input, 404));
        return [name, code, message];
      },
      refusals: [],
      samples: () => [
        json({ error: { code: 'not-found', message: 'nobody', field: 'who', hint: null } }),
        bytes('<html>'),
      ],
    },
  ],
};
