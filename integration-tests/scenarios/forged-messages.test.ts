import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Refusal_Reason } from '../../protocols/chat/chat_pb.ts';
import { encodeMessage, messageHash } from '../../protocols/chat/message.ts';
import type { ChatMessage } from '../../protocols/chat/message.ts';
import {
  CHAT_LIMITS,
  CHAT_PROTOCOL,
  decodeFrame,
  encodeAck,
  encodeHello,
  encodeMessageFrame,
} from '../../protocols/chat/protocol.ts';
import { encodeFrames } from '../../protocols/framing/frames.ts';
import { readFrames } from '../../protocols/framing/streams.ts';
import { scenario } from '../harness/scenario.ts';
import { stranger } from '../harness/stranger.ts';
import type { Stranger } from '../harness/stranger.ts';
import { waitFor } from '../harness/wait-for.ts';

const TEN_YEARS_MS = 10 * 365 * 24 * 3_600_000;

/** The last millisecond that a Date can hold, in the year 275760. */
const LAST_MS = 8_640_000_000_000_000;

/** A message as its author makes it; what a test wants otherwise, it says. */
function message(fields: Partial<ChatMessage>): Uint8Array {
  const nowMs = Date.now();
  return encodeMessage({
    id: randomBytes(16),
    chain: randomBytes(8),
    counter: 1,
    previous: new Uint8Array(0),
    clockMs: nowMs,
    clockCount: 0,
    sentAtMs: nowMs,
    text: 'hello',
    ...fields,
  });
}

/** Somebody who speaks the protocol, and does with it what they like. */
async function speaker(who: Stranger, address: string, signal: AbortSignal) {
  const heard = { acked: 0, conflicts: 0 };
  const stream = await who.open(address, CHAT_PROTOCOL);
  const write = (...frames: Uint8Array[]): void => {
    stream.send(encodeFrames(frames));
  };
  const listen = async (): Promise<void> => {
    for await (const batch of readFrames(stream, { maxFrameBytes: CHAT_LIMITS.maxFrameBytes, signal })) {
      for (const { body } of batch.map(decodeFrame)) {
        if (body.case === 'ack') heard.acked = Math.max(heard.acked, Number(body.value.upTo));
        if (body.case === 'refusal' && body.value.reason === Refusal_Reason.CONFLICT) heard.conflicts++;
      }
    }
  };
  listen().catch(() => undefined);
  const nothing = new Uint8Array(0);
  write(encodeHello({ features: [], contactCard: nothing, nameCertificate: nothing }));
  return {
    stream,
    heard,
    write,
    say: (...messages: Uint8Array[]): void => write(...messages.map(encodeMessageFrame)),
  };
}

scenario('replayed, forged and ill-timed messages are shown once, to whom they belong', async (town) => {
  const { signal } = town;
  const ben = await town.daemon('ben');
  const address = ben.program.ready.multiaddrs[0]!;
  await using ada = await stranger({ signal });
  await using mallory = await stranger({ signal });
  for (const { peerId } of [ada, mallory]) await ben.client.call('addContact', { who: peerId }, { signal });

  const chain = randomBytes(8);
  const first = message({ chain, text: 'first' });
  const second = message({ chain, counter: 2, previous: messageHash(first), text: 'second' });
  const ours = await speaker(ada, address, signal);
  ours.say(first, second);
  ours.say(first, second, first);
  await waitFor('both to be acknowledged', () => ours.heard.acked === 2, { signal });
  const again = await speaker(ada, address, signal);
  again.say(second, first);
  await waitFor('both to be acknowledged again', () => again.heard.acked === 2, { signal });
  assert.deepEqual(await ben.texts(2), ['first', 'second']);

  // Another one under a counter that is taken is refused, and the first stays.
  again.say(message({ chain, counter: 2, previous: messageHash(first), text: 'something else' }));
  await waitFor('a refusal', () => again.heard.conflicts > 0, { signal });

  // Who replays the words of somebody else says them in their own name.
  const theirs = await speaker(mallory, address, signal);
  theirs.say(first);
  await waitFor('an answer', () => theirs.heard.acked === 1 || theirs.heard.conflicts > 0, { signal });
  const inbox = await ben.inbox();
  assert.deepEqual(
    inbox.filter(({ from }) => from === ada.peerId).map(({ text }) => text),
    ['first', 'second'],
  );
  assert.ok(inbox.every(({ from }) => from === ada.peerId || from === mallory.peerId));

  // A clock ten years ahead, and one ten years behind: both arrive, and what is sent next is not swept along.
  for (const offMs of [TEN_YEARS_MS, -TEN_YEARS_MS]) {
    const clockMs = Date.now() + offMs;
    const other = randomBytes(8);
    const odd = message({ chain: other, clockMs, sentAtMs: clockMs, text: `off by ${offMs}` });
    const next = message({ chain: other, counter: 2, previous: messageHash(odd), text: `after ${offMs}` });
    const speaking = await speaker(ada, address, signal);
    speaking.say(odd, next);
    await waitFor('both to be acknowledged', () => speaking.heard.acked === 2, { signal });
  }
  const texts = (await ben.inbox()).map(({ text }) => text);
  assert.deepEqual(texts.slice(-4), [
    `off by ${TEN_YEARS_MS}`,
    `after ${TEN_YEARS_MS}`,
    `off by ${-TEN_YEARS_MS}`,
    `after ${-TEN_YEARS_MS}`,
  ]);

  // An id that is no UUID and the last of all times: shown like anything else.
  const extreme = await speaker(mallory, address, signal);
  extreme.say(
    message({
      id: new Uint8Array(16).fill(0xfe),
      clockMs: LAST_MS,
      sentAtMs: LAST_MS,
      text: 'the end of time',
    }),
  );
  await waitFor('the end of time', () => extreme.heard.acked === 1, { signal });
  assert.equal((await ben.inbox()).at(-1)?.text, 'the end of time');
  const { messages } = await ben.client.call('history', { who: mallory.peerId }, { signal });
  assert.equal(messages.at(-1)?.text, 'the end of time');

  // A gap is shown as what is missing.
  const holed = await speaker(mallory, address, signal);
  holed.say(message({ counter: 4, previous: randomBytes(32), text: 'the fourth' }));
  const fourth = await waitFor(
    'the fourth',
    async () => (await ben.inbox()).find(({ text }) => text === 'the fourth'),
    { signal },
  );
  assert.equal(fourth.missing, 3);

  // Acknowledging a chain that was never begun says nothing, and the stream goes on.
  const liar = await speaker(mallory, address, signal);
  liar.write(encodeAck(randomBytes(8), [{ first: 1, last: 1000 }]));
  liar.say(message({ text: 'and what now?' }));
  await waitFor('an answer', () => liar.heard.acked === 1, { signal });
});
