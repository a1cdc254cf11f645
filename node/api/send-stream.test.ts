import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ErrorView } from '../../protocols/control/contract.ts';
import { ControlError } from '../../protocols/control/errors.ts';
import { SEND_STREAM_PATH } from '../../protocols/control/routes.ts';
import { MAX_JSON_BYTES, MAX_UNANSWERED } from './limits.ts';
import { deliverAll, serve, openStream, lines } from './api-fixture.ts';

void test('streaming send: 10,000 messages over one request, each answered', async (t) => {
  let batches = 0;
  const { socketPath } = await serve(t, {
    sendStream: (messages, onChanges, options) => {
      batches++;
      setImmediate(() => deliverAll(messages, onChanges, options));
    },
  });
  const { sending, response } = await openStream(socketPath);
  const answers = lines(response);
  for (let n = 0; n < 10_000; n++) sending.write(`{"to":"ben","text":"message ${n}","ref":${n}}\n`);
  sending.end();
  const all = await answers;
  assert.equal(all.length, 20_000);
  const delivered = all.filter(({ state }) => state === 'delivered').map(({ ref }) => ref);
  assert.deepEqual(
    delivered,
    Array.from({ length: 10_000 }, (_, n) => n),
  );
  assert.ok(batches < 1000, `${batches} batches`);
});

void test('streaming send: a bad line is answered with its ref, the others go on', async (t) => {
  const { socketPath } = await serve(t, {
    sendStream: (messages, onChanges, options) => {
      const unknown = messages.filter(({ to }) => to === 'nobody');
      const error = new ControlError('not-found', 'nobody is known by that name', { field: 'to' });
      onChanges(unknown.map(({ index }) => ({ index, error })));
      deliverAll(
        messages.filter(({ to }) => to !== 'nobody'),
        onChanges,
        options,
      );
    },
  });
  const { sending, response } = await openStream(socketPath, `${SEND_STREAM_PATH}?until=queued`);
  sending.write('{"to":"ben","text":"","ref":"a"}\nnot json\n\n{"to":"nobody","text":"x","ref":2}\n');
  sending.write(Buffer.from([0x22, 0xff, 0x22, 0x0a]));
  sending.end('{"to":"ben","text":"without a newline","ref":3}');
  const all = await lines(response);
  assert.deepEqual(
    all.map(({ ref, state, error }) => [ref, state ?? (error as ErrorView['error']).code]),
    [
      ['a', 'invalid'],
      [undefined, 'invalid'],
      [undefined, 'invalid'],
      [2, 'not-found'],
      [3, 'queued'],
    ],
  );
});

void test('streaming send: a line over the limit ends the request', async (t) => {
  const { socketPath } = await serve(t);
  const { sending, response } = await openStream(socketPath);
  sending.on('error', () => undefined);
  sending.write(`{"to":"ben","text":"${'x'.repeat(MAX_JSON_BYTES)}`);
  const [answer] = await lines(response);
  assert.equal((answer as unknown as ErrorView).error.code, 'too-large');
});

void test('streaming send: reading stops while too much is unanswered', async (t) => {
  let taken = 0;
  let answer: (() => void) | undefined;
  const { socketPath } = await serve(t, {
    sendStream: (messages, onChanges, options) => {
      taken += messages.length;
      const before = answer;
      answer = () => {
        before?.();
        deliverAll(messages, onChanges, options);
      };
      if (taken >= MAX_UNANSWERED) full.resolve();
    },
  });
  const full = Promise.withResolvers<void>();
  const { sending, response } = await openStream(socketPath);
  const answers = lines(response);
  const count = 50_000;
  for (let n = 0; n < count; n++) sending.write(`{"to":"ben","text":"${'x'.repeat(40)}"}\n`);
  sending.end();
  await full.promise;
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(taken < MAX_UNANSWERED + 4000, `${taken} were taken`);
  const answering = setInterval(() => {
    const now = answer;
    answer = undefined;
    now?.();
  }, 1);
  t.after(() => clearInterval(answering));
  assert.equal((await answers).length, 2 * count);
});

void test('streaming send: a client that leaves aborts the signal', async (t) => {
  const given = Promise.withResolvers<AbortSignal>();
  const { socketPath } = await serve(t, {
    sendStream: (_messages, _onChanges, { signal }) => given.resolve(signal),
  });
  const { sending, response } = await openStream(socketPath);
  response.on('error', () => undefined);
  sending.on('error', () => undefined);
  sending.write('{"to":"ben","text":"x"}\n');
  const signal = await given.promise;
  sending.destroy();
  if (!signal.aborted) await once(signal, 'abort');
});
