import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Stream } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import { readFrames, sendFrames } from '../framing/streams.ts';
import { Refusal_Reason } from './chat_pb.ts';
import { openChat } from './client.ts';
import type { ChatDecisions } from './decisions.ts';
import { serveChat } from './handler.ts';
import { decodeMessage, encodeMessage, UnacceptableMessageError } from './message.ts';
import { CHAT_LIMITS, encodeAck, encodeHello, encodeMessageFrame, encodeRefusal } from './protocol.ts';
import { addRange, hasCounter } from './ranges.ts';
import type { Range } from './ranges.ts';

export const CHAIN = new Uint8Array(8).fill(7);
export const ALICE = 'alice';
export const BOB = 'bob';
/** A frame of a later version. */
export const UNKNOWN = Uint8Array.of(0x7a, 2, 1, 2);

export const hello = (feature: string): Uint8Array =>
  encodeHello({
    features: [feature],
    contactCard: new Uint8Array(0),
    nameCertificate: new Uint8Array(0),
  });

export const message = (counter: number, text = `message ${counter}`): Uint8Array =>
  encodeMessage({
    id: new Uint8Array(16).fill(counter),
    chain: CHAIN,
    counter,
    previous: new Uint8Array(counter === 1 ? 0 : 32),
    clockMs: 1,
    clockCount: 0,
    sentAtMs: 1,
    text,
  });

export const messageFrames = (first: number, last: number): Uint8Array[] =>
  Array.from({ length: last - first + 1 }, (_, i) => encodeMessageFrame(message(first + i)));

export const eventually = async (condition: () => boolean): Promise<void> => {
  const giveUpMs = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < giveUpMs, `never: ${condition.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
};

export const closed = (stream: Stream): Promise<string> =>
  new Promise((resolve) => {
    if (stream.status !== 'open') resolve(stream.status);
    else stream.addEventListener('close', () => resolve(stream.status), { once: true });
  });

/** A node that keeps what it is told: messages once, in `texts`; everything else in `told`. */
export function fakeNode(name: string, replaced: Partial<ChatDecisions> = {}) {
  const told: unknown[][] = [];
  const texts: string[] = [];
  const batches: number[] = [];
  let received: Range[] = [];
  const decisions: ChatDecisions = {
    hello: () => ({
      features: [name],
      contactCard: new Uint8Array(0),
      nameCertificate: new Uint8Array(0),
    }),
    greeted: (peer, { features }) => void told.push(['greeted', peer, features]),
    held: async () => (received.length > 0 ? [encodeAck(CHAIN, received)] : []),
    receive: async (_, messages) => {
      batches.push(messages.length);
      const answers: Uint8Array[] = [];
      for (const bytes of messages) {
        try {
          const { counter, text } = decodeMessage(bytes);
          if (!hasCounter(received, counter)) texts.push(text);
          received = addRange(received, counter, counter);
        } catch (error) {
          assert.ok(error instanceof UnacceptableMessageError);
          const { chain, counter } = error.position!;
          answers.push(encodeRefusal(chain, counter, Refusal_Reason.TOO_LARGE));
        }
      }
      return [...answers, encodeAck(CHAIN, received)];
    },
    acked: async (peer, { chain, ranges }) =>
      void told.push(['acked', peer, chain, ranges.map(({ first, last }) => ({ first, last }))]),
    refused: async (peer, chain, counter, reason) =>
      void told.push(['refused', peer, chain, counter, reason]),
    receipt: async (peer, chain, readUpTo) => void told.push(['receipt', peer, chain, readUpTo]),
    sessionNotice: async (peer, sessions) => void told.push(['sessions', peer, sessions]),
    prekeysWanted: async (peer) => {
      told.push(['prekeys wanted', peer]);
      return [];
    },
    prekeys: async (peer, prekeys) => void told.push(['prekeys', peer, prekeys]),
    inviteToken: async (peer, token) => void told.push(['token', peer, token]),
    depositCapability: async (peer, capability) => void told.push(['capability', peer, capability]),
    pending: async (peer) => void told.push(['pending', peer]),
    ...replaced,
  };
  return { decisions, told, texts, batches };
}

/** Two ends of a stream; `serve` and `open` put a node at each. */
export async function line(t: TestContext) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const { signal } = stop;
  const [out, inbound] = await streamPair();
  return {
    stop,
    signal,
    out,
    inbound,
    open: (decisions: ChatDecisions, helloTimeoutMs?: number) =>
      openChat(out, BOB, decisions, { signal, ...(helloTimeoutMs === undefined ? {} : { helloTimeoutMs }) }),
    serve: (decisions: ChatDecisions, helloTimeoutMs?: number) => {
      const serving = serveChat(inbound, ALICE, decisions, {
        signal,
        ...(helloTimeoutMs === undefined ? {} : { helloTimeoutMs }),
      });
      serving.catch(() => undefined);
      return serving;
    },
    send: (stream: Stream, ...frames: Uint8Array[]) => sendFrames(stream, frames, { signal }),
    read: (stream: Stream) => readFrames(stream, { maxFrameBytes: CHAT_LIMITS.maxFrameBytes, signal }),
  };
}

/** Two nodes that have said hello. `before` sees the streams first. */
export async function chatting(
  t: TestContext,
  bobs: Partial<ChatDecisions> = {},
  alices: Partial<ChatDecisions> = {},
  before?: (ends: { out: Stream; inbound: Stream }) => void,
) {
  const ends = await line(t);
  before?.(ends);
  const alice = fakeNode(ALICE, alices);
  const bob = fakeNode(BOB, bobs);
  const serving = ends.serve(bob.decisions);
  const chat = await ends.open(alice.decisions);
  chat.closed.catch(() => undefined);
  return { ...ends, alice, bob, serving, chat };
}
