import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { EVENTS_PATH } from '../../protocols/control/routes.ts';
import { eventLog } from '../event-log.ts';
import { serveEvents } from './event-stream.ts';
import { PEER, serve, open, eventsOf, readEvents } from './api-fixture.ts';

void test('events: live, by cursor, by Last-Event-ID, which wins', async (t) => {
  const { events, socketPath } = await serve(t);
  const listen = async (path: string, headers = {}): Promise<IncomingMessage> => {
    const sending = open(socketPath, { path, headers });
    sending.end();
    const [response] = (await once(sending, 'response')) as [IncomingMessage];
    assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
    return response;
  };
  const start = events.cursor();
  const live = readEvents(await listen(EVENTS_PATH), 2);
  events.append({ type: 'warning', message: 'one\ntwo' });
  events.append({ type: 'warning', message: 'three' });
  const seen = await live;
  assert.deepEqual(
    seen.map((event) => event.type === 'warning' && event.message),
    ['one\ntwo', 'three'],
  );
  assert.deepEqual(await readEvents(await listen(`${EVENTS_PATH}?after=${start}`), 2), seen);
  const [, second] = seen;
  const again = await listen(`${EVENTS_PATH}?after=${start}`, { 'last-event-id': seen[0]!.cursor });
  assert.deepEqual(await readEvents(again, 1), [second]);
});

void test('a slow reader of events overflows and learns of it', async (t) => {
  const { events, socketPath } = await serve(t);
  const sending = open(socketPath, { path: EVENTS_PATH });
  sending.end();
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  // 24,000 events of 1 KiB: more than the ring and every buffer on the way.
  for (let round = 0; round < 24; round++) {
    for (let n = 0; n < 1000; n++) events.append({ type: 'warning', message: 'w'.repeat(1000) });
    await new Promise((resolve) => setImmediate(resolve));
  }
  events.append({ type: 'contact', peerId: PEER, change: 'added' });
  const types = new Set<string>();
  for await (const event of eventsOf(response)) {
    types.add(event.type);
    if (event.type === 'resync') break;
  }
  assert.ok(types.has('resync'));
});

void test('a silent stream has a heartbeat, and ends with its signal', async (t) => {
  const leaving = new AbortController();
  const events = eventLog({ messagesAfter: async () => [], nowRow: 0 });
  const server = createServer((_request, response) => {
    void serveEvents(response, { events, after: undefined, signal: leaving.signal, heartbeatMs: 1 });
  });
  server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const sending = open((server.address() as AddressInfo).port, { path: '/' });
  sending.end();
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  let all = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    all += chunk.toString();
    if (all.includes('\n\n:\n\n:\n\n')) leaving.abort();
  }
  assert.ok(all.startsWith(`id: ${events.cursor()}\n\n`));
});
