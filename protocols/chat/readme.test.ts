import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { Stream } from '@libp2p/interface';
import { encodeFrames, FrameDecoder } from '../framing/frames.ts';
import { chatting, eventually } from './chat-fixture.ts';
import { Refusal_Reason, Refusal_ReasonSchema } from './chat_pb.ts';
import { encodeMessage, messageHash } from './message.ts';
import type { ChatMessage } from './message.ts';
import {
  CHAT_LIMITS,
  encodeAck,
  encodeBundle,
  encodeMessageFrame,
  encodeReceipt,
  encodeRefusal,
} from './protocol.ts';

const README = await readFile(new URL('README.md', import.meta.url), 'utf8');

const CHAIN = new Uint8Array(8).fill(0xc4);
const CARD = Uint8Array.of(0xaa, 0xbb);

const written = (counter: number, text: string, before?: Uint8Array): Uint8Array => {
  const message: ChatMessage = {
    id: new Uint8Array(16).fill(counter),
    chain: CHAIN,
    counter,
    previous: before === undefined ? new Uint8Array(0) : messageHash(before),
    clockMs: 1_800_000_000_000,
    clockCount: counter - 1,
    sentAtMs: 1_800_000_000_000,
    text,
  };
  return encodeMessage(message);
};

const FIRST = written(1, 'Hi');
const SECOND = written(2, 'there', FIRST);
const FORGED = written(2, 'THERE', FIRST);
const hashAt = (counter: number): Uint8Array => messageHash(counter === 1 ? FIRST : SECOND);
const READ = encodeReceipt(CHAIN, 2, hashAt(2));

/** Notes every frame that an end sends, in hex, with its length before it. */
function record(name: string, stream: Stream, frames: string[]): void {
  const decoder = new FrameDecoder(CHAT_LIMITS.maxFrameBytes);
  const send = stream.send.bind(stream);
  stream.send = (data) => {
    for (const frame of decoder.push(data.subarray()))
      frames.push(`${name} ${Buffer.from(encodeFrames([frame])).toString('hex')}`);
    return send(data);
  };
}

/** The exchange as the README shows it: a frame begins where an end is named and may go on in the next lines. */
function shownExchange(): string[] {
  const block = /## A worked exchange[^]*?```\n([^]*?)```/.exec(README)![1]!;
  const frames: string[] = [];
  for (const line of block.split('\n')) {
    const [, name, hex] = /^(opener|acceptor|)\s+((?:[0-9a-f]{2}|\s(?!\s))+)/.exec(line) ?? [];
    if (hex === undefined) continue;
    const bytes = hex.replaceAll(/\s/g, '');
    if (name === '') frames.push(frames.pop()! + bytes);
    else frames.push(`${name} ${bytes}`);
  }
  return frames;
}

void test('the exchange in the README is the one that takes place', async (t) => {
  const frames: string[] = [];
  const hello = () => ({ features: [], contactCard: CARD, nameCertificate: new Uint8Array(0) });
  const { chat, alice } = await chatting(
    t,
    {
      hello,
      held: async () => [],
      receive: async (_, [message]) => {
        const last = Buffer.compare(message!, FIRST) === 0 ? 1 : 2;
        const ack = encodeAck(CHAIN, [{ first: 1, last }], hashAt);
        const refused = Buffer.compare(message!, FORGED) === 0;
        return refused ? [ack, encodeRefusal(CHAIN, 2, Refusal_Reason.CONFLICT)] : [ack];
      },
    },
    { hello },
    ({ out, inbound }) => {
      record('opener', out, frames);
      record('acceptor', inbound, frames);
    },
  );
  let told = alice.told.length;
  for (const message of [FIRST, SECOND, FORGED]) {
    chat.write(encodeFrames([encodeMessageFrame(message)]));
    told += message === FORGED ? 2 : 1;
    await eventually(() => alice.told.length === told);
  }
  chat.write(encodeFrames([READ]));
  await eventually(() => frames.length === 10);
  assert.deepEqual(shownExchange(), frames);
});

void test('the bundle in the README is the one that is made', () => {
  const bundle = Buffer.from(encodeBundle([READ])).toString('hex');
  assert.ok(README.replaceAll(' ', '').includes(bundle), bundle);
});

void test('the limits in the README are those of the code', () => {
  const limits = /## Limits[^]*?## Refusals/.exec(README)![0];
  const shown = [...limits.matchAll(/^\| `(\w+)` +\| ([\d,]+) (bytes|ms)?/gm)].map(([, name, value]) => [
    name,
    Number(value!.replaceAll(',', '')),
  ]);
  assert.deepEqual(Object.fromEntries(shown), CHAT_LIMITS);
});

void test('the README names every reason for a refusal', () => {
  for (const { localName, number } of Refusal_ReasonSchema.values)
    if (number !== 0) assert.ok(README.includes(`| \`${localName}\``), localName);
});
