import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ControlClient } from '../protocols/control/client.ts';
import { ControlError } from '../protocols/control/errors.ts';
import { DaemonUnreachableError } from '../protocols/control/exchange.ts';
import { chatOutbox } from './chat-outbox.ts';

/** A daemon that keeps what it is sent; `fate` says what becomes of each line. */
function daemon(fate: (text: string) => 'answer' | 'lose-answer' | 'lose-line' | 'refuse' = () => 'answer') {
  const messages: { id: string; text: string; receivedAt: null; sentAt: string }[] = [];
  const call = async (name: string, args: { text: string }): Promise<unknown> => {
    await Promise.resolve();
    if (name === 'history') return { messages, next: null };
    const what = fate(args.text);
    if (what === 'refuse') throw new ControlError('too-large', 'too long');
    if (what !== 'lose-line') {
      messages.push({
        id: `id-${args.text}`,
        text: args.text,
        receivedAt: null,
        sentAt: new Date().toISOString(),
      });
    }
    if (what !== 'answer') throw new DaemonUnreachableError('gone', { mayHaveArrived: true });
    return { id: `id-${args.text}`, state: 'queued', to: 'ben', failure: null };
  };
  return { client: { call } as unknown as ControlClient, texts: () => messages.map(({ text }) => text) };
}

function outbox() {
  const { signal } = new AbortController();
  const taken: string[] = [];
  const refused: string[] = [];
  const box = chatOutbox({
    signal,
    onTaken: ({ text }, { id }) => taken.push(`${text} ${id}`),
    onRefused: ({ text }) => refused.push(text),
  });
  return { box, taken, refused, empty: () => box.whenAtMost(0, { signal }) };
}

void test('lines wait for a daemon, go out in order, and a refused one holds up nobody', async () => {
  const { box, taken, refused, empty } = outbox();
  for (const text of ['a', 'b', 'c']) box.push('ben', text);
  assert.equal(box.size, 3);
  const { client } = daemon((text) => (text === 'b' ? 'refuse' : 'answer'));
  await box.connect(client);
  await empty();
  assert.deepEqual([taken, refused], [['a id-a', 'c id-c'], ['b']]);
});

void test('a line whose answer was lost is found in the history and not sent twice', async () => {
  const { box, taken, empty } = outbox();
  let lost = false;
  const { client, texts } = daemon(() => {
    if (lost) return 'answer';
    lost = true;
    return 'lose-answer';
  });
  await box.connect(client);
  box.push('ben', 'a');
  box.push('ben', 'b');
  await Promise.resolve();
  while (!lost || box.current !== undefined) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(box.size, 2);
  await box.connect(client);
  await empty();
  assert.deepEqual(texts(), ['a', 'b']);
  assert.deepEqual(taken, ['a id-a', 'b id-b']);
});

void test('a line that was lost itself is sent again', async () => {
  const { box, empty } = outbox();
  let lost = false;
  const { client, texts } = daemon(() => {
    if (lost) return 'answer';
    lost = true;
    return 'lose-line';
  });
  await box.connect(client);
  box.push('ben', 'a');
  while (!lost || box.current !== undefined) await new Promise((resolve) => setImmediate(resolve));
  await box.connect(client);
  await empty();
  assert.deepEqual(texts(), ['a']);
});

void test('waiting for room ends with the signal', async () => {
  const { box } = outbox();
  box.push('ben', 'a');
  await assert.rejects(box.whenAtMost(0, { signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
});
